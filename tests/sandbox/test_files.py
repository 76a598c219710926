"""Files of a container, as the host reads and writes them."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator

import pytest

from codecove.sandbox.errors import GuestFileError
from tests.sandbox.hosts import Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]

STRANGE_NAMES = [
    "with space",
    "ünïcode-文字",
    "new\nline",
    "-dash",
    "quote'\"",
    os.fsdecode(b"bytes-\xff\xfe"),
    "x" * 255,
]


async def collect(stream: AsyncIterator[bytes]) -> bytes:
    return b"".join([part async for part in stream])


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, 1_000_000])
async def test_what_is_written_is_read(shell: Shell, size: int) -> None:
    data = os.urandom(size)
    await shell.container.write_file("/workspace/data", data)
    assert await shell.container.read_file("/workspace/data", limit=size + 1) == data
    assert await collect(shell.container.stream_file("/workspace/data")) == data


async def test_writing_from_a_stream_makes_directories(shell: Shell) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for letter in (b"a", b"b" * 200_000, b"", b"c"):
            yield letter

    await shell.container.write_file("/files/input/one/two/file", parts())
    assert await shell.output("stat -c '%U %a' /files/input/one /files/input/one/two/file") == "user 755\nuser 644\n"
    assert (await shell.container.stat("/files/input/one/two/file")).size == 200_002


async def test_reading_stops_at_the_limit(shell: Shell) -> None:
    await shell.container.write_file("/tmp/long", b"0123456789")
    assert await shell.container.read_file("/tmp/long", limit=4) == b"0123"


async def test_a_file_of_proc_is_read_though_its_size_is_0(shell: Shell) -> None:
    assert (await shell.container.stat("/proc/cpuinfo")).size == 0
    data = await shell.container.read_file("/proc/cpuinfo", limit=2**20)
    assert data.startswith(b"processor")
    assert data.endswith(b"\n")
    assert len(await shell.container.read_file("/proc/cpuinfo", limit=5)) == 5
    assert await collect(shell.container.stream_file("/proc/cpuinfo")) == b""


@pytest.mark.parametrize("name", STRANGE_NAMES)
async def test_strange_names(shell: Shell, name: str) -> None:
    await shell.container.make_directories(["/tmp/strange"])
    await shell.container.write_file(f"/tmp/strange/{name}", b"content")
    listing = await shell.container.list_directory("/tmp/strange", limit=10)
    assert [entry.name for entry in listing.entries] == [name]
    assert await shell.container.read_file(f"/tmp/strange/{name}", limit=100) == b"content"
    assert (await shell.container.stat(f"/tmp/strange/{name}")).name == name
    await shell("rm -r /tmp/strange")


async def test_stat(shell: Shell) -> None:
    await shell("cd /tmp; echo 12345 > f; ln f hard; ln -s f soft; ln -s nothing dangling; mkdir d; mkfifo p")
    kinds = {name: (await shell.container.stat(f"/tmp/{name}", follow=False)).kind for name in ("f", "soft", "d", "p")}
    assert kinds == {"f": "file", "soft": "symlink", "d": "directory", "p": "other"}
    file = await shell.container.stat("/tmp/soft")
    assert (file.kind, file.size, file.links) == ("file", 6, 2)
    assert file.inode == (await shell.container.stat("/tmp/hard")).inode
    with pytest.raises(GuestFileError) as caught:
        await shell.container.stat("/tmp/dangling")
    assert caught.value.is_missing
    assert (await shell.container.stat("/tmp/dangling", follow=False)).kind == "symlink"
    assert (await shell.container.stat("/tmp/")).name == "tmp"
    assert (await shell.container.stat("/")).name == "/"
    await shell("cd /tmp; rm -r f hard soft dangling d p")


async def test_listing_is_cut_at_the_limit(shell: Shell) -> None:
    await shell("mkdir /tmp/many; cd /tmp/many; touch $(seq 1000)")
    whole = await shell.container.list_directory("/tmp/many", limit=1000)
    assert {entry.name for entry in whole.entries} == {str(n) for n in range(1, 1001)}
    assert not whole.truncated
    part = await shell.container.list_directory("/tmp/many", limit=999)
    assert len(part.entries) == 999
    assert part.truncated
    await shell("rm -r /tmp/many")


@pytest.mark.parametrize(
    ("prepare", "number"),
    [
        ("mkfifo x", errno.EINVAL),
        ("ln -s /dev/zero x", errno.EINVAL),
        ("ln -s /dev/null x", errno.EINVAL),
        ("mkdir x", errno.EINVAL),
        ("python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('x')\"", errno.ENXIO),
        ("ln -s x x", errno.ELOOP),
        ("ln -s /.codecove/agent x", errno.EACCES),
        ("touch x; chmod 0 x", errno.EACCES),
        ("true", errno.ENOENT),
    ],
)
async def test_only_regular_files_that_the_user_may_read_are_read(shell: Shell, prepare: str, number: int) -> None:
    await shell.output(f"cd /tmp; {prepare}")
    async with asyncio.timeout(5):
        with pytest.raises(GuestFileError) as caught:
            await shell.container.read_file("/tmp/x", limit=10)
    assert caught.value.errno == number
    assert caught.value.path == "/tmp/x"
    await shell("rm -rf /tmp/x")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("/etc/passwd", errno.EACCES),
        ("/etc/new", errno.EACCES),
        ("/new/file", errno.ENOENT),
        ("/tmp", errno.EISDIR),
        ("/dev/null", errno.EINVAL),
        ("/tmp/a/../../etc/passwd", errno.EACCES),
        ("/proc/1/mem", errno.EACCES),
        ("/tmp/" + "x" * 256, errno.ENAMETOOLONG),
        ("/tmp/nul\0", errno.EINVAL),
    ],
)
async def test_writing_where_the_user_may_not(shell: Shell, path: str, number: int) -> None:
    with pytest.raises(GuestFileError) as caught:
        await shell.container.write_file(path, b"x")
    assert caught.value.errno == number
    assert (await shell("cat /etc/new")).stdout.head != b"x"


async def test_a_path_that_is_too_long_to_be_sent_names_no_file(shell: Shell) -> None:
    path, container = "/tmp/" + "x/" * 2**19, shell.container
    for call in (
        container.stat(path),
        container.list_directory(path, limit=1),
        container.read_file(path, limit=1),
        container.write_file(path, b"x"),
    ):
        with pytest.raises(GuestFileError) as caught:
            await call
        assert caught.value.errno == errno.ENAMETOOLONG
    too_long, made = await container.make_directories([path, "/tmp"])
    assert isinstance(too_long, GuestFileError)
    assert too_long.errno == errno.ENAMETOOLONG
    assert made is None


async def test_a_symbolic_link_is_written_through(shell: Shell) -> None:
    await shell("cd /tmp; echo long content > target; ln -s target link")
    await shell.container.write_file("/tmp/link", b"new")
    assert await shell.output("cd /tmp; cat target; readlink link; rm target link") == "newtarget\n"


async def test_a_link_is_not_followed_when_told_so(shell: Shell) -> None:
    await shell("cd /tmp; echo content > target; ln -s target link")
    with pytest.raises(GuestFileError) as caught:
        await collect(shell.container.stream_file("/tmp/link", follow=False))
    assert caught.value.errno == errno.ELOOP
    await shell("cd /tmp; rm target link")


async def test_a_file_that_grows_is_read_up_to_the_size_it_had(shell: Shell) -> None:
    await shell.container.write_file("/tmp/grows", b"x" * 200_000)
    parts = shell.container.stream_file("/tmp/grows")
    first = await anext(parts)
    await shell("head -c 300k /dev/zero >> /tmp/grows")
    assert len(first) + len(await collect(parts)) == 200_000
    await shell("rm /tmp/grows")


async def test_a_stream_given_up_half_way_leaves_the_container_usable(shell: Shell) -> None:
    await shell.container.write_file("/tmp/half", b"x" * 500_000)
    for _ in range(50):
        parts = shell.container.stream_file("/tmp/half")
        await anext(parts)
        await parts.aclose()
    assert len(await shell.container.read_file("/tmp/half", limit=10**6)) == 500_000


async def test_many_files_at_once_beside_a_command(shell: Shell) -> None:
    running = asyncio.create_task(shell("sleep 0.5; echo done"))
    data = {f"/tmp/at-once/{n}": os.urandom(100_000 + n) for n in range(20)}
    await asyncio.gather(*(shell.container.write_file(path, content) for path, content in data.items()))
    read = await asyncio.gather(*(shell.container.read_file(path, limit=10**6) for path in data))
    assert read == list(data.values())
    assert (await running).stdout.head == b"done\n"
    await shell("rm -r /tmp/at-once")


async def test_a_full_disk_stops_writing_with_an_error(own_shell: Shell) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    with pytest.raises(GuestFileError) as caught:
        await own_shell.container.write_file("/workspace/big", endless())
    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("directory", ["/workspace", "/tmp", "/files/input", "/home/user"])
async def test_what_could_not_be_written_whole_leaves_what_was_there(shell: Shell, directory: str) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        assert await shell.output(f"cat {directory}/old; ls {directory}") == "whole\nold\n"
        raise ConnectionError

    await shell(f"cd {directory}; rm -rf * .[!.]*; echo whole > old; chmod 750 old")
    for name in ("old", "new"):
        with pytest.raises(ConnectionError):
            await shell.container.write_file(f"{directory}/{name}", broken())
    assert await shell.output(f"cd {directory}; cat old; ls") == "whole\nold\n"
    assert (await shell("find /files/.drafts /tmp/.drafts -type f")).stdout.head == b""
    await shell.container.write_file(f"{directory}/old", b"new")
    assert await shell.output(f"cd {directory}; cat old; stat -c %a old; rm old") == "new750\n"


async def test_where_nothing_lasts_files_are_written_in_place(shell: Shell) -> None:
    await shell.container.write_file("/dev/shm/x", b"one")
    await shell.container.write_file("/dev/shm/x", b"2")
    assert await shell.output("cat /dev/shm/x; rm /dev/shm/x") == "2"


async def test_programs_that_take_the_place_of_drafts_do_no_harm(shell: Shell) -> None:
    for trick in ("ln -s /etc /files/.drafts", "touch /files/.drafts", "mkdir -m 0 /files/.drafts"):
        await shell(f"rm -rf /files/.drafts; {trick}")
        await shell.container.write_file("/workspace/x", trick.encode())
        assert await shell.output("cat /workspace/x; rm /workspace/x") == trick
    await shell("chmod 700 /files/.drafts; rm -rf /files/.drafts")


async def test_making_directories(shell: Shell) -> None:
    """All that can be made are, and of the others it is said why not."""
    await shell("touch /tmp/file")
    paths = ["/tmp/a/b/c", "/tmp/a", "/tmp/file", "/etc/directory", "/tmp/d"]
    outcomes = await shell.container.make_directories(paths)
    assert [error and error.errno for error in outcomes] == [None, None, errno.EEXIST, errno.EACCES, None]
    assert (await shell.container.stat("/tmp/a/b/c")).kind == (await shell.container.stat("/tmp/d")).kind == "directory"
    await shell("rm -r /tmp/a /tmp/d /tmp/file")

"""Output directories as an attacker leaves them, in both places that are handed out."""

from pathlib import Path

import pytest

from codecove.sandbox.limits import Limits
from tests.support.host import host_config
from tests.tools.conftest import CALLER, Request, Server, running_server

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.parametrize("place", ["$OUTPUT_DIR", "/workspace"]),
]

ODD_NAMES = r"""
import os
for name in [b"new\nline", b"\xff\xfe", b"a\..\..\up", b"a\x1b[2Jb", b"\xe2\x80\xae gpj.exe", b"%2e%2e%2f", b"~"]:
    open(name, "wb").write(b"x")
"""
SOCKET = "import socket; socket.socket(socket.AF_UNIX).bind('s')"


async def test_links_pipes_sockets_and_devices_are_left_alone(request_: Request, place: str) -> None:
    content = await request_.bash(
        f"cd {place}; ln -s /etc/shadow shadow; ln -s ../../../../../../etc/shadow up; ln -s /proc/self/mem mem; "
        f'ln -s . here; ln -s /dev/zero zero; mkfifo pipe; python3 -c "{SOCKET}"; mknod null c 1 3; mknod disk b 7 0; '
        "mkdir dir; echo fine > fine"
    )
    assert await request_.delivered(content) == {"fine": b"fine\n"}


async def test_a_hard_link_gives_nothing_that_the_program_could_not_read(request_: Request, place: str) -> None:
    content = await request_.bash(f"cd {place}; ln /etc/shadow shadow; ln /etc/gshadow g; echo own > own; ln own twice")
    delivered = await request_.delivered(content)
    assert delivered == {"own": b"own\n", "twice": b"own\n"}
    assert not any(b"root:" in data for data in delivered.values())


async def test_odd_names_become_names_that_the_files_api_allows(request_: Request, place: str) -> None:
    content = await request_.bash(f"cd {place}; python3 - <<'END'\n{ODD_NAMES}\nEND")
    delivered = await request_.delivered(content)
    expected = {"new_line", "a_.._.._up", "a_[2Jb", "%2e%2e%2f", "~"}
    assert len(delivered) == 7
    assert expected <= set(delivered)
    assert not any("/" in name or "\\" in name or "\n" in name or "\x1b" in name for name in delivered)
    assert content["stderr"] == ""


async def test_a_sparse_file_of_a_terabyte_is_left_out_without_being_read(request_: Request, place: str) -> None:
    content = await request_.bash(f"cd {place}; truncate -s 1T huge; echo ok > ok")
    assert await request_.delivered(content) == {"ok": b"ok\n"}
    assert "huge" in content["stderr"]


async def test_a_file_that_grows_while_it_is_read_is_delivered_as_long_as_it_was(request_: Request, place: str) -> None:
    content = await request_.bash(
        f"cd {place}; head -c 500000 /dev/zero > grows; "
        "bash -c 'for i in $(seq 400); do head -c 1000 /dev/zero >> grows; done' background &> /dev/null & sleep 0.02"
    )
    await request_.bash("pkill -f background; true")
    [entry] = content["content"]
    file = await request_.files.get(CALLER, entry["file_id"])
    assert 500_000 <= file.size_bytes <= 900_000
    assert len((await request_.delivered(content))["grows"]) == file.size_bytes


async def test_a_name_that_changes_between_file_link_and_pipe_delivers_the_file_or_nothing(
    request_: Request, place: str
) -> None:
    flipping = "while echo x > f; do rm f; ln -s /etc/passwd f; rm f; mkfifo f; rm f; done"
    await request_.bash(f"cd {place}; bash -c '{flipping}' background > /dev/null 2>&1 &")
    for _ in range(5):
        content = await request_.bash(f"cd {place}; echo x > g")
        delivered = await request_.delivered(content)
        assert set(delivered.values()) <= {b"x\n", b""}
    await request_.bash("pkill -f background; true")


async def test_a_directory_that_is_a_link_to_elsewhere_delivers_nothing_of_there(request_: Request, place: str) -> None:
    content = await request_.bash(
        f"cd /tmp; mkdir -p secret; echo s > secret/s; rm -rf {place} 2>/dev/null; ln -sfn /tmp/secret {place}; true"
    )
    assert content["content"] == []


async def test_a_flood_of_files_is_said_and_does_no_harm(request_: Request, server: Server, place: str) -> None:
    async with server.request(server.shared_container, max_output_files=5) as request:
        await flood(request, place, 3000)


@pytest.mark.soak
async def test_a_hundred_thousand_files_are_said_and_do_no_harm(image: Path, tmp_path: Path, place: str) -> None:
    limits = Limits(disk_bytes=2 * 2**30)
    async with running_server(tmp_path, host_config(tmp_path / "host", image, limits=limits)) as server:
        async with server.request() as request:
            await flood(request, place, 100_000)
        await server.delete_containers()


async def flood(request: Request, place: str, count: int) -> None:
    content = await request.bash(f"cd {place}; python3 -c \"for i in range({count}): open(str(i), 'w').close()\"")
    assert (len(content["content"]) > 0) == (place == "$OUTPUT_DIR")
    assert "given to the user" in content["stderr"]
    assert (await request.bash("echo after"))["stdout"] == "after\n"

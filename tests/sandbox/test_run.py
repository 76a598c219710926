"""Running commands."""

import asyncio
import contextlib

import pytest

from tests.sandbox.hosts import LIMITS, Shell

pytestmark = [pytest.mark.sandbox, pytest.mark.asyncio(loop_scope="session")]


async def test_output_and_exit_status(shell: Shell) -> None:
    result = await shell("echo out; echo err >&2; exit 3")
    assert result.stdout.head == b"out\n"
    assert result.stderr.head == b"err\n"
    assert result.return_code == 3
    assert not result.timed_out
    assert not result.out_of_memory


async def test_a_signal_is_reported_as_a_shell_does(shell: Shell) -> None:
    assert (await shell("kill -SEGV $$")).return_code == 128 + 11


async def test_program_that_is_not_there(shell: Shell) -> None:
    result = await shell.container.run(["no-such-program"], env={}, timeout=5)
    assert result.return_code == 127
    assert result.stderr.head == b"no-such-program: No such file or directory\n"


async def test_program_that_may_not_be_run(shell: Shell) -> None:
    result = await shell.container.run(["/etc/passwd"], env={}, timeout=5)
    assert result.return_code == 126


async def test_a_working_directory_that_is_not_there_is_replaced_by_the_root(shell: Shell) -> None:
    result = await shell.container.run(["pwd"], env={}, timeout=5, cwd="/nowhere")
    assert result.return_code == 0
    assert result.stdout.head == b"/\n"
    assert result.stderr.head == b"/nowhere: No such file or directory, started in / instead\n"


async def test_a_working_directory_shut_by_a_program_can_be_opened_again(shell: Shell) -> None:
    await shell.output("chmod 000 /workspace")
    result = await shell("pwd; chmod 755 /workspace")
    assert result.stdout.head == b"/\n"
    assert result.stderr.head == b"/workspace: Permission denied, started in / instead\n"
    assert await shell.output("pwd") == "/workspace\n"


async def test_symbolic_links_are_listed_and_copied_without_complaints(shell: Shell) -> None:
    copying = "import shutil; shutil.copytree('links', 'python', symlinks=True)"
    script = f"""cd /tmp; mkdir links; ln -s /etc/passwd links/file; ln -s /nowhere links/dangling
        ls -la links; cp -a links copy; tar cf links.tar links; tar -C copy -xf links.tar; python3 -c "{copying}"
        mv links/file /dev/shm/; ls -l /dev/shm/file copy/links python /bin/
        rm -r links copy python links.tar /dev/shm/file"""
    result = await shell(script)
    assert result.return_code == 0
    assert result.stderr.head == b""
    assert result.stdout.head.count(b"-> /etc/passwd\n") == 4


async def test_environment_is_the_base_and_what_is_added(shell: Shell) -> None:
    result = await shell.container.run(["env"], env={"ADDED": "a=b\nc", "LANG": "C"}, timeout=5)
    assert b"ADDED=a=b\nc\n" in result.stdout.head
    assert b"LANG=C\n" in result.stdout.head
    assert b"HOME=/home/user\n" in result.stdout.head


async def test_nothing_of_the_servers_environment_is_seen(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SERVER", "hunter2")
    assert "hunter2" not in await shell.output("env")


async def test_files_stay_from_one_command_to_the_next(shell: Shell) -> None:
    await shell.output("echo 1 > kept")
    assert await shell.output("cat /workspace/kept; rm kept") == "1\n"


@pytest.mark.parametrize("size", [1, 65536, 300_000])
async def test_standard_input(shell: Shell, size: int) -> None:
    result = await shell("wc -c", stdin=b"x" * size)
    assert result.stdout.head == b"%d\n" % size


async def test_standard_input_that_nobody_reads(shell: Shell) -> None:
    result = await shell("exec <&-; echo done", stdin=b"x" * 300_000)
    assert result.stdout.head == b"done\n"


async def test_without_standard_input_reading_ends_at_once(shell: Shell) -> None:
    assert (await shell("cat; echo end")).stdout.head == b"end\n"


async def test_output_beyond_the_limit_keeps_head_and_tail(shell: Shell) -> None:
    result = await shell.python("import sys; sys.stdout.write('a' * 2_000_000 + 'b' * 3_000_000 + 'END')")
    half = LIMITS.output_bytes // 2
    assert result.stdout.head == b"a" * half
    assert result.stdout.tail == b"b" * (half - 3) + b"END"
    assert result.stdout.dropped == 5_000_003 - 2 * half


async def test_output_up_to_the_limit_is_whole(shell: Shell) -> None:
    result = await shell.python(f"print('x' * {LIMITS.output_bytes - 1})")
    assert result.stdout.head == b"x" * (LIMITS.output_bytes - 1) + b"\n"
    assert result.stdout.dropped == 0
    assert result.stdout.tail == b""


async def test_both_streams_flooded_at_once(shell: Shell) -> None:
    result = await shell("head -c 20M /dev/zero & head -c 20M /dev/zero >&2; wait")
    assert result.return_code == 0
    for stream in (result.stdout, result.stderr):
        assert len(stream.head) + len(stream.tail) + stream.dropped == 20 * 2**20


async def test_output_of_bytes_that_are_not_text(shell: Shell) -> None:
    assert (await shell(r"printf '\377\000\n'")).stdout.head == b"\xff\x00\n"


async def test_commands_run_one_at_a_time_in_the_order_asked(shell: Shell) -> None:
    await asyncio.gather(*(shell(f"echo {n} >> order; sleep 0.0{9 - n}; echo {n} >> order") for n in range(6)))
    assert (await shell.output("cat order; rm order")).split() == [str(n // 2) for n in range(12)]


async def test_time_limit_ends_the_command(shell: Shell) -> None:
    result = await shell("echo before; sleep 60; echo after", timeout=0.5)
    assert result.timed_out
    assert result.stdout.head == b"before\n"
    assert result.return_code == 137
    assert result.seconds >= 0.5


async def test_time_limit_while_standard_input_is_not_read(shell: Shell) -> None:
    result = await shell("sleep 60", timeout=0.5, stdin=b"x" * 1_000_000)
    assert result.timed_out


async def test_cancelling_kills_what_runs(shell: Shell) -> None:
    running = asyncio.create_task(shell("touch started; setsid sleep 60 & sleep 60"))
    for _ in range(1000):
        if (await shell.container.list_directory("/workspace", limit=10)).entries:
            break
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert running.cancelled()
    await shell("rm started")
    assert await shell.processes() == []


@pytest.mark.parametrize("times", [10, pytest.param(3000, marks=pytest.mark.soak)])
async def test_cancelling_what_is_forking_leaves_nothing(shell: Shell, times: int) -> None:
    for number in range(times):
        running = asyncio.create_task(shell("for i in $(seq 12); do setsid sleep 60 & done; sleep 60"))
        await asyncio.sleep(number % 10 * 0.003)
        running.cancel()
        await asyncio.wait([running])
        assert await shell.processes() == [], number


async def test_cancelling_one_that_waits_for_its_turn_leaves_the_others_alone(shell: Shell) -> None:
    first = asyncio.create_task(shell("sleep 0.3; echo first"))
    second = asyncio.create_task(shell("echo second"))
    third = asyncio.create_task(shell("echo third"))
    await asyncio.sleep(0.1)
    second.cancel()
    assert (await first).stdout.head == b"first\n"
    assert (await third).stdout.head == b"third\n"


async def test_a_nul_in_an_argument_is_refused(shell: Shell) -> None:
    with pytest.raises(ValueError, match="NUL"):
        await shell("echo \0")


async def test_more_arguments_than_can_be_sent_leave_nothing_behind(shell: Shell) -> None:
    container, used = shell.container, shell.container._seat._processors._used
    await shell("true")
    before = dict(used)
    with pytest.raises(ValueError, match="SPAWN of"):
        await shell("x" * 2**20)
    assert used == before
    assert container._connection is not None
    async with asyncio.timeout(30):
        while not await container._connection.is_quiet():  # noqa: ASYNC110 -- an interpreter may be starting
            await asyncio.sleep(0.05)


async def test_an_argument_too_long_for_the_kernel(shell: Shell) -> None:
    result = await shell(": " + "x" * 200_000)
    assert result.return_code == 126
    assert result.stderr.head.startswith(b"bash: ")


async def test_background_process_does_not_hold_the_call(shell: Shell) -> None:
    result = await shell("sleep 77 & echo started")
    assert result.stdout.head == b"started\n"
    assert await shell.processes() == ["sleep 77"]
    await shell("pkill sleep")


async def test_server_started_by_one_command_answers_the_next(shell: Shell) -> None:
    await shell("cd /tmp; echo hello > served; python3 -m http.server 8765 --bind 127.0.0.1 > server.log 2>&1 &")
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8765/served').read())"
    command = f'for i in $(seq 50); do python3 -c "{fetch}" 2>/dev/null && break; sleep 0.1; done'
    assert await shell.output(command) == "b'hello\\n'\n"
    await shell("pkill python3; rm /tmp/served /tmp/server.log")


async def test_background_process_goes_on_writing_to_a_pipe_nobody_reads(shell: Shell) -> None:
    """More than a pipe holds, after its command has ended: it must neither block nor die of SIGPIPE."""
    await shell("(sleep 0.2; head -c 3M /dev/zero; echo $? > written) &")
    assert await shell.output("for i in $(seq 100); do [ -s written ] && break; sleep 0.1; done; cat written") == "0\n"
    await shell("rm written")


async def test_time_limit_spares_what_an_earlier_command_left_running(shell: Shell) -> None:
    await shell("sleep 88 &")
    assert (await shell("sleep 89 & setsid sleep 89 & sleep 89", timeout=0.5)).timed_out
    assert await shell.processes() == ["sleep 88"]
    await shell("pkill sleep")


HARD_TO_KILL = {
    "SIGTERM ignored": "trap '' TERM HUP INT; sleep 600",
    "double fork into a session of its own": "setsid bash -c 'setsid bash -c \"setsid sleep 600 &\" &'; sleep 600",
    "stopped": "sleep 600 & kill -STOP $!; sleep 600",
    "outlives its parent": "(trap '' TERM; while true; do sleep 1; done) & disown; exec sleep 600",
    "forks all the time": "while true; do (sleep 600 & ) ; sleep 0.02; done",
}


@pytest.mark.parametrize("how", HARD_TO_KILL)
async def test_time_limit_ends_all_that_was_started(shell: Shell, how: str) -> None:
    assert (await shell(HARD_TO_KILL[how], timeout=0.5)).timed_out
    assert await shell.processes() == []


async def test_directories_are_looked_at_around_a_command(shell: Shell) -> None:
    async def run(script: str, timeout: float = 30) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        places = {"/tmp/look": 2, "/tmp/look/link": 9, "/nowhere": 9}
        argv = ["bash", "-c", script]
        before = {"/tmp/look": 9}
        result = await shell.container.run(argv, env={}, timeout=timeout, look_before=before, look_after=places)
        found = [
            {path: sorted(entry.name for entry in listing.entries) for path, listing in listings.items()}
            for listings in (result.before, result.after)
        ]
        return found[0], found[1]

    assert await run("mkdir /tmp/look; touch /tmp/look/a") == ({}, {"/tmp/look": ["a"]})
    # Stopped in the middle; and a link to a directory is none.
    stopped = await run("cd /tmp/look; mv a b; ln -s /etc link; sleep 60", timeout=1.5)
    assert stopped == ({"/tmp/look": ["a"]}, {"/tmp/look": ["b", "link"]})
    assert (await run("rm -r /tmp/look"))[1] == {}
    # It could not even begin.
    gone = await shell.container.run(["/no/program"], env={}, timeout=30, look_after={"/workspace": 9})
    assert gone.return_code == 127
    assert list(gone.after) == ["/workspace"]


async def test_commands_at_once_each_look_at_what_they_have_made(shell: Shell) -> None:
    async def run(name: str) -> set[str]:
        argv, places = ["touch", f"/tmp/at-once-{name}"], {"/tmp": 1000}
        result = await shell.container.run(argv, env={}, timeout=10, look_before=places, look_after=places)
        before, after = ({entry.name for entry in one["/tmp"].entries} for one in (result.before, result.after))
        return after - before

    assert await asyncio.gather(*map(run, "abc")) == [{f"at-once-{name}"} for name in "abc"]
    await shell.output("rm /tmp/at-once-*")

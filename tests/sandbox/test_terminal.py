"""Programs on terminals: what a person at one expects, and what a hostile one can't do."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence

import pytest

from codecove.sandbox.errors import TerminalRefused
from codecove.sandbox.frames import Answer, Frame, ProtocolError
from codecove.sandbox.host import Terminal
from codecove.sandbox.lifecycle import State
from codecove.sandbox.terminal import TerminalExchange
from tests.sandbox.hosts import Shell

sandboxed = pytest.mark.sandbox
pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = b"<ready>"


class Person:
    """Types, and reads until it sees what it waits for."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.seen = b""

    async def sees(self, pattern: bytes) -> bytes:
        """Everything up to the first match, which is forgotten then."""
        async with asyncio.timeout(20):
            while (found := re.search(pattern, self.seen)) is None:
                more = await self.terminal.read()
                assert more, f"the end, after {self.seen!r}"
                self.seen += more
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    async def types(self, text: str) -> None:
        await self.terminal.write(text.encode())


@contextlib.asynccontextmanager
async def person(shell: Shell, argv: Sequence[str] = ("bash", "--norc", "-i")) -> AsyncIterator[Person]:
    env = {"TERM": "xterm", "PS1": PROMPT.decode()}
    async with shell.container.terminal(argv, env=env, rows=24, columns=80) as terminal:
        yield Person(terminal)


async def runs(shell: Shell, command: str) -> None:
    """Wait until it does."""
    async with asyncio.timeout(20):
        while command not in await shell.processes():  # noqa: ASYNC110 -- the event is in the container
            await asyncio.sleep(0.05)


@sandboxed
async def test_a_shell_has_a_terminal_of_its_own_and_its_exit_status_arrives(shell: Shell) -> None:
    async with person(shell) as someone:
        await someone.sees(PROMPT)
        await someone.types("stty size; tty; ls -l $(tty); exit 7\r")
        seen = await someone.sees(rb"user user[^\n]*\n")
        assert b"24 80\r\n/dev/pts/" in seen
        while await someone.terminal.read():
            pass
        assert await someone.terminal.return_code() == 7
    assert await shell.processes() == []


@sandboxed
async def test_control_c_and_control_z_reach_the_foreground_job_alone(shell: Shell) -> None:
    async with person(shell) as someone:
        await someone.sees(PROMPT)
        await someone.types("sleep 1000\r")
        await someone.sees(rb"1000\r\n")
        await runs(shell, "sleep 1000")
        await someone.types("\x03")
        await someone.sees(PROMPT)
        await someone.types("echo status=$?; sleep 1001\r")
        await someone.sees(rb"status=130\r\n")
        await runs(shell, "sleep 1001")
        await someone.types("\x1a")
        await someone.sees(rb"Stopped")
        await someone.types("kill %1; wait; exit\r")
        await someone.sees(rb"exit")


@sandboxed
async def test_python_converses_and_learns_of_a_new_size(shell: Shell) -> None:
    async with person(shell, ["python3", "-q"]) as someone:
        await someone.sees(rb">>> ")
        await someone.types("import os, signal; _ = signal.signal(signal.SIGWINCH, lambda *_: print('chang' 'ed'))\r")
        await someone.types("6 * 7\r")
        await someone.sees(rb"42\r\n.*>>> ")
        await someone.terminal.resize(50, 132)
        await someone.types("\r")  # Python may just be about to wait for a key, and would hear of it only then
        await someone.sees(rb"changed")
        await someone.types("tuple(os.get_terminal_size())\r")
        await someone.sees(rb"\(132, 50\)")


@sandboxed
async def test_executions_and_other_terminals_go_on_beside_one(shell: Shell) -> None:
    async with person(shell) as one, person(shell) as other:
        await one.sees(PROMPT)
        await other.sees(PROMPT)
        assert await shell.output("echo hi") == "hi\n"
        await one.types("echo one; tty\r")
        await other.types("echo other; tty\r")
        first, second = await one.sees(rb"pts/\d+"), await other.sees(rb"pts/\d+")
        assert first.rpartition(b"/")[2] != second.rpartition(b"/")[2]


@sandboxed
async def test_leaving_kills_whatever_was_started_there_and_nothing_else(shell: Shell) -> None:
    await shell.output("sleep 2000 >/dev/null 2>&1 &")
    async with person(shell) as someone:
        await someone.sees(PROMPT)
        await someone.types("trap '' HUP TERM; setsid sleep 3000 & (nohup sleep 3001 &) ; sleep 3002\r")
        await someone.sees(rb"3002\r\n")
        await runs(shell, "sleep 3002")
    assert await shell.processes() == ["sleep 2000"]
    assert shell.container.state is State.IDLE
    await shell.output("pkill sleep; true")


@sandboxed
async def test_a_flood_that_nobody_reads_makes_its_program_wait(shell: Shell) -> None:
    async with person(shell, ["sh", "-c", "yes & sleep 0.3; exec cat /dev/zero"]) as someone:
        await asyncio.sleep(1.5)
        assert await shell.output("echo hi") == "hi\n"
        taken = [await someone.terminal.read() for _ in range(50)]
        assert max(map(len, taken)) <= 1 << 17


@sandboxed
async def test_much_input_arrives_whole_and_in_order(shell: Shell) -> None:
    text = "".join(f"{number}\n" for number in range(30_000))
    async with person(shell, ["sh", "-c", "stty raw -echo; echo go; head -c 168890 | md5sum"]) as someone:
        await someone.sees(rb"go")
        await someone.types(text)
        digest = (await shell.container.run(["md5sum"], env={}, timeout=9, stdin=text.encode())).stdout.head
        await someone.sees(re.escape(digest[:32]))


@sandboxed
async def test_too_many_terminals_and_unknown_programs_are_refused(shell: Shell) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(8):
            await (await stack.enter_async_context(person(shell))).sees(PROMPT)
        with pytest.raises(TerminalRefused):
            await stack.enter_async_context(person(shell))
    async with person(shell, ["no-such-program"]) as someone:
        await someone.sees(rb"no-such-program: No such file")
        assert await someone.terminal.return_code() == 127


@sandboxed
async def test_a_program_that_closes_its_terminal_costs_no_cpu_time(shell: Shell) -> None:
    async with person(shell, ["sh", "-c", "exec sleep 1000 <&- >&- 2>&-"]) as someone:
        await asyncio.sleep(0.5)
        before = await shell.output("awk '{print $14 + $15}' /proc/1/stat")
        await asyncio.sleep(1)
        after = await shell.output("awk '{print $14 + $15}' /proc/1/stat")
        assert int(after) - int(before) < 50
        await someone.terminal.write(b"nobody reads this")


async def test_output_beyond_the_room_that_was_made_breaks_the_protocol() -> None:
    exchange = TerminalExchange()
    for _ in range(2):
        exchange.receive(Frame(Answer.TERMINAL_OUTPUT, 1, bytes(1 << 16)))
    with pytest.raises(ProtocolError):
        exchange.receive(Frame(Answer.TERMINAL_OUTPUT, 1, b"x"))
    assert len(await exchange.take_output()) == 1 << 17
    exchange.receive(Frame(Answer.TERMINAL_OUTPUT, 1, b"x"))
    for kind in (Answer.HELLO, Answer.DATA, Answer.HEAD_STDOUT):
        with pytest.raises(ProtocolError):
            exchange.receive(Frame(kind, 1, b"x"))

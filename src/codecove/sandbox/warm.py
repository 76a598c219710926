"""The interpreters of a container that wait to become a program: which programs go to them, and when they are there.

Inside it is `guest/warm.py` that waits, with the usual libraries loaded, or without; and `guest/waiting.c` in a bash.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.bundle import WAITING_PATH, WARM_PATH
from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError
from codecove.sandbox.exchanges import FileExchange
from codecove.sandbox.frames import Answer, Interpreter, Request, encode_warm
from codecove.sandbox.simple_command import Call, without_shell

_log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_ATTEMPTS = 3
"""After so many failures in one container it is left cold: its image has no such libraries, or its memory is full."""
_QUIET_SECONDS = 0.05
"""A program that comes so soon after another one is not to share its processor with the start of an interpreter."""
_INTERPRETER: Final = "python3"
_SHELL: Final = "bash"
_USES_LIBRARIES: Final = re.compile(rb"\b(?:numpy|pandas|matplotlib|scipy|seaborn|sklearn|statsmodels)\b")
_READ_AT_START: Final = re.compile(
    r"(?:PYTHON|LD_|LC_|MALLOC_|GLIBC_|MPL|OMP_|OPENBLAS_|GOTO_|MKL_|NUMEXPR|NPY_|NUMPY_|ARROW_|PANDAS_|KMP_|XDG_)"
    r"|(?:LANG|LANGUAGE|HOME|PATH|TZDIR)$"
)
"""Environment variables that the interpreter or a library reads when it is loaded."""
_TAKEN_ON: Final = {"PYTHONUNBUFFERED"}
"""One of them that `guest/warm.py` knows."""
# It starts as root, and would read start-up files in the user's home. It gets to know that later.
_ENVIRONMENT: Final = {**BASE_ENVIRONMENT, "HOME": "/nonexistent"}
_LONGEST: Final = 4096
"""A longer command has no room where `ps` looks for it."""
_SHELL_ARGUMENTS: Final = [_SHELL, "-c", "--", "-" * _LONGEST]
_SHELL_ENVIRONMENT: Final = {**BASE_ENVIRONMENT, "LD_PRELOAD": WAITING_PATH}


def suited(call: Call, cwd: str) -> tuple[Call, Interpreter | None]:
    """What to start for a call in the directory `cwd`, and in which interpreter it is better run than in a new one."""
    direct = without_shell(call, cwd)
    waiting = None if direct is None else suits(direct.argv, direct.env, direct.stdin)
    if direct is not None and waiting is not None:
        return direct, waiting
    return call, suits(call.argv, call.env, call.stdin)


def suits(argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> Interpreter | None:
    """Which interpreter a program is better run in than in a new one. `env` is what is added to the base."""
    if argv[0] not in (_INTERPRETER, _SHELL):
        return None
    if any(
        _READ_AT_START.match(name) and BASE_ENVIRONMENT.get(name) != value
        for name, value in env.items()
        if name not in _TAKEN_ON
    ):
        return None
    if argv[0] == _SHELL:
        return Interpreter.SHELL if _is_command(argv[1:]) else None
    match argv[1:]:
        case ["-c", code, *_]:
            sources = [code.encode(errors="surrogateescape"), stdin]
        case [] | ["-", *_]:
            sources = [stdin]
        case [script, *_] if script.endswith(".py") and not script.startswith("-"):
            return Interpreter.WITH_LIBRARIES  # what is in it is not known here
        case _:
            return None
    return Interpreter.WITH_LIBRARIES if any(map(uses_libraries, sources)) else Interpreter.PLAIN


def _is_command(arguments: Sequence[str]) -> bool:
    """Whether a shell called so runs one string. `--` before it changes nothing, unless it looks like an option."""
    match arguments:
        case ["-c", command] if not command.startswith(("-", "+")):
            pass
        case ["-c", "--", command]:
            pass
        case _:
            return False
    return len(command.encode(errors="surrogateescape")) <= _LONGEST


def keep_shell(agent: AgentConnection) -> None:
    """From now on a shell waits there; another one follows after a command that asks for it (`encode_spawn`)."""
    payload = encode_warm(Interpreter.SHELL, _SHELL_ARGUMENTS, _SHELL_ENVIRONMENT)
    agent.send(Request.WARM, payload, FileExchange(_SHELL, Answer.DONE))


def uses_libraries(source: bytes) -> bool:
    """Whether a Python program mentions one of them."""
    return _USES_LIBRARIES.search(source) is not None


class Warmth:
    """Of one agent: its interpreters. `is_busy` says whether a program runs now."""

    def __init__(self, agent: AgentConnection, *, on: bool, is_busy: Callable[[], bool] = lambda: False) -> None:
        """`on`: there is one with the libraries from the start, which can be used once."""
        kinds = (Interpreter.WITH_LIBRARIES, Interpreter.PLAIN)
        self._waiting = {kind: _Waiting(agent, kind, is_busy) for kind in kinds}
        self._libraries = self._waiting[Interpreter.WITH_LIBRARIES]
        self._libraries.is_on = self._libraries.is_single = on

    @property
    def is_starting(self) -> bool:
        """Whether one is on the way."""
        return any(one.is_starting for one in self._waiting.values())

    @property
    def was_used(self) -> bool:
        """Whether a program has asked for the libraries."""
        return self._libraries.was_used

    @property
    def is_on(self) -> bool:
        """Whether there is one with the libraries, as far as is known."""
        return self._libraries.is_on

    def used(self, kind: Interpreter, *, cold: bool) -> None:
        """A program has asked for it, and found it or not."""
        if kind in self._waiting:  # the agent itself has another shell wait
            self._waiting[kind].used(cold=cold)

    async def give_up_unused(self) -> None:
        """End the one with the libraries if no program has asked for it. Raises `ContainerUnavailable`."""
        if self._libraries.is_on and not self._libraries.was_used:
            await self._libraries.end()

    async def end(self) -> None:
        """End them all, which gives their memory back. Raises `ContainerUnavailable`."""
        for one in self._waiting.values():
            await one.end()

    async def stop_starting(self) -> None:
        """Wait no longer for any."""
        for one in self._waiting.values():
            await one.stop_starting()

    async def start_single(self) -> None:
        """Returns when one with the libraries that can be used once is ready, or can't be.

        Raises `ContainerUnavailable`.
        """
        self._libraries.is_single = True
        await self._libraries.start("once")


class _Waiting:
    """One interpreter. Of the one with the libraries a fork waits, so that another one can follow."""

    def __init__(self, agent: AgentConnection, kind: Interpreter, is_busy: Callable[[], bool]) -> None:
        self._agent = agent
        self._kind = kind
        self._is_busy = is_busy
        self._failures = 0
        self._begun = False
        self._start: asyncio.Task[None] | None = None
        self.is_on = False
        self.is_single = kind is Interpreter.PLAIN
        self.was_used = False

    @property
    def is_starting(self) -> bool:
        return self._start is not None and not self._start.done()

    def used(self, *, cold: bool) -> None:
        self.was_used = True
        if self.is_single or cold:
            self.is_on = False
        if self.is_on or self.is_starting or self._failures == _ATTEMPTS:
            return
        self.is_single = self._kind is Interpreter.PLAIN
        self._start = asyncio.create_task(self._follow(), name=f"start an interpreter {self._kind.name.lower()}")

    async def end(self) -> None:
        await self.stop_starting()
        if self.is_on or self._begun:
            self.is_on = self._begun = False
            await self._agent.ask(
                Request.WARM, encode_warm(self._kind, [], {}), FileExchange(_INTERPRETER, Answer.DONE)
            )

    async def stop_starting(self) -> None:
        if self._start is not None:
            self._start.cancel()
            await asyncio.wait([self._start])

    async def start(self, *mode: str) -> None:
        exchange = FileExchange(_INTERPRETER, Answer.DONE)
        self._begun = True
        payload = encode_warm(self._kind, [_INTERPRETER, WARM_PATH, *mode], _ENVIRONMENT)
        self._agent.send(Request.WARM, payload, exchange)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(exchange.result)
            self.is_on = True
        except (TimeoutError, GuestFileError) as error:
            self._failures += 1
            _log.info("no interpreter %s: %s", self._kind.name.lower(), error)
            await self._agent.ask(
                Request.WARM, encode_warm(self._kind, [], {}), FileExchange(_INTERPRETER, Answer.DONE)
            )

    async def _follow(self) -> None:
        try:
            if self._kind is Interpreter.PLAIN:
                await asyncio.sleep(_QUIET_SECONDS)
                while self._is_busy():  # noqa: ASYNC110 -- when it has ended it may begin again at once
                    await asyncio.sleep(_QUIET_SECONDS)
                await self.start("plain")
            else:
                await self.start()
        except ContainerUnavailable as error:
            _log.info("no interpreter %s: %s", self._kind.name.lower(), error)

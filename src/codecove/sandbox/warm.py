"""The warm interpreter of a container: which programs go to it, and when it is there.

Inside, `guest/warm.py` keeps a Python with the usual libraries loaded and a fork of it that waits to become a program.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Final

from codecove.sandbox.agent import AgentConnection
from codecove.sandbox.bundle import WARM_PATH
from codecove.sandbox.environment import BASE_ENVIRONMENT
from codecove.sandbox.errors import ContainerUnavailable, GuestFileError
from codecove.sandbox.exchanges import FileExchange
from codecove.sandbox.frames import Answer, Request, encode_command

_log = logging.getLogger(__name__)

_START_SECONDS = 30.0
_ATTEMPTS = 3
"""After so many failures in one container it is left cold: its image has no such libraries, or its memory is full."""
_INTERPRETER: Final = "python3"
_USES_LIBRARIES: Final = re.compile(rb"\b(?:numpy|pandas|matplotlib|scipy|seaborn|sklearn|statsmodels)\b")
_READ_AT_START: Final = re.compile(
    r"(?:PYTHON|LD_|LC_|MALLOC_|GLIBC_|MPL|OMP_|OPENBLAS_|GOTO_|MKL_|NUMEXPR|NPY_|NUMPY_|ARROW_|PANDAS_|KMP_|XDG_)"
    r"|(?:LANG|LANGUAGE|HOME|PATH|TZDIR)$"
)
"""Environment variables that the interpreter or a library reads when it is loaded."""
# It starts as root, and would read start-up files in the user's home. It gets to know that later.
_ENVIRONMENT: Final = {**BASE_ENVIRONMENT, "HOME": "/nonexistent"}


def suits(argv: Sequence[str], env: Mapping[str, str], stdin: bytes) -> bool:
    """Whether a program is better run in the warm interpreter, and may be. `env` is what is added to the base.

    One that uses none of the libraries starts as quickly in an interpreter of its own.
    """
    if argv[0] != _INTERPRETER:
        return False
    if any(_READ_AT_START.match(name) and BASE_ENVIRONMENT.get(name) != value for name, value in env.items()):
        return False
    match argv[1:]:
        case ["-c", code, *_]:
            sources = [code.encode(errors="surrogateescape"), stdin]
        case [] | ["-", *_]:
            sources = [stdin]
        case [script, *_] if script.endswith(".py") and not script.startswith("-"):
            return True  # what is in it is not known here
        case _:
            return False
    return any(_USES_LIBRARIES.search(source) for source in sources)


class Warmth:
    """Of one agent."""

    def __init__(self, agent: AgentConnection, *, on: bool) -> None:
        self._agent = agent
        self._on = on
        self._used = False
        self._failures = 0
        self._start: asyncio.Task[None] | None = None

    @property
    def is_starting(self) -> bool:
        """Whether it is on the way."""
        return self._start is not None and not self._start.done()

    def used(self, *, cold: bool) -> None:
        """A program has asked for it, and found it or not. If not, the next one will."""
        self._used = True
        if cold and not self.is_starting and self._failures < _ATTEMPTS:
            self._start = asyncio.create_task(self._up(), name="start a warm interpreter")

    async def give_up_unused(self) -> None:
        """End it if no program has asked for it. Raises `ContainerUnavailable`."""
        if self._on and not self._used:
            await self.end()

    async def end(self) -> None:
        """End it, which gives its memory back. Raises `ContainerUnavailable`."""
        self._on = False
        await self.stop_starting()
        await self._agent.ask(Request.WARM, encode_command([], {}), FileExchange(_INTERPRETER, Answer.DONE))

    async def stop_starting(self) -> None:
        """Wait no longer for it."""
        if self._start is not None:
            self._start.cancel()
            await asyncio.wait([self._start])

    async def start(self) -> None:
        """Returns when it is ready, or can't be. Raises `ContainerUnavailable`."""
        exchange = FileExchange(_INTERPRETER, Answer.DONE)
        self._agent.send(Request.WARM, encode_command([_INTERPRETER, WARM_PATH], _ENVIRONMENT), exchange)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(exchange.result)
            self._on = True
        except (TimeoutError, GuestFileError) as error:
            self._failures += 1
            _log.info("no warm interpreter: %s", error)
            await self._agent.ask(Request.WARM, encode_command([], {}), FileExchange(_INTERPRETER, Answer.DONE))

    @property
    def was_used(self) -> bool:
        """Whether a program has asked for it."""
        return self._used

    @property
    def is_on(self) -> bool:
        """Whether there is one, as far as is known."""
        return self._on

    async def _up(self) -> None:
        try:
            await self.start()
        except ContainerUnavailable as error:
            _log.info("no warm interpreter: %s", error)

"""The demo: what the official client can do with this server, shown and checked.

Exits with 0 only if every step gave the right answer. Settings of the server come from `COVE_*` variables as usual;
`COVE_DEMO_MODEL` names the model to ask when an upstream is configured (default: the first that it lists).
"""

import contextlib
import os
import secrets
import signal
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import anthropic

from codecove.demo.conversation import BUILT_IN_MODEL, Conversation
from codecove.demo.process import ServerFailed, running_server, temporary_data_dir
from codecove.demo.screen import Screen
from codecove.demo.steps import STEPS, WrongAnswer
from codecove.interrupts import INTERRUPTED

_OWN = {"COVE_API_KEY", "COVE_DATA_DIR", "COVE_HOST", "COVE_PORT", "COVE_DEMO_MODEL"}
"""Variables that the demo sets itself, or that are not the server's."""


class _Stop:
    """Ctrl-C and SIGTERM, also where the exception that they raise gets lost.

    Python can only raise it in what runs at that moment, and the client and what it uses lose it now and then (2 of 150
    signals in the first 100 ms of a request).
    """

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: FrameType | None) -> NoReturn:
        """Leave the way that cleans up."""
        self.asked = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raises `KeyboardInterrupt` if it should have been raised before."""
        if self.asked:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def ignored_after(self) -> Iterator[None]:
        """Entered last, left first: once the cleaning up has begun, another Ctrl-C does not stop it."""
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main() -> int:
    """Run every step; the exit status."""
    stop, screen = _Stop(), Screen()
    failure = None
    try:
        _show(screen, stop)
    except BaseException as error:  # noqa: BLE001  (what is no result of a demo is raised again)
        failure = error
    if stop.asked:
        screen.failed("stopped")
        return INTERRUPTED
    if failure is not None:
        screen.failed(_reason(failure))
        return 1
    screen.summary()
    return 0


def _reason(error: BaseException) -> str:
    """What to tell of it. Raises the error again if it is none that a demo may end with."""
    match error:
        case WrongAnswer():
            return str(error)
        case ServerFailed() | anthropic.APIError():
            return f"{type(error).__name__}: {error}"
    raise error


def _show(screen: Screen, stop: _Stop) -> None:
    """Raises `WrongAnswer`, `ServerFailed`, `anthropic.APIError`, and when it is stopped `KeyboardInterrupt` or any."""
    # The client would send headers that these name.
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        del os.environ[name]
    settings = {name: value for name, value in os.environ.items() if name.startswith("COVE_") and name not in _OWN}
    key = f"cove-{secrets.token_urlsafe(32)}"
    with (
        temporary_data_dir() as data_dir,
        running_server(data_dir, settings | {"COVE_API_KEY": key}) as server,
        anthropic.Anthropic(
            base_url=server.url,
            api_key=key,
            max_retries=0,
            http_client=anthropic.DefaultHttpxClient(trust_env=False),
        ) as client,
        stop.ignored_after(),
    ):
        model = os.environ.get("COVE_DEMO_MODEL") or client.models.list().data[0].id
        screen.greet(server.url, model, built_in=model == BUILT_IN_MODEL)
        for step in STEPS:
            stop.check()
            with screen.step(step.title):
                screen.passed(step.run(Conversation(client, model, screen)))

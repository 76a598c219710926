"""`python -m codecove.demo`: what the official client can do with this server, shown and checked.

Exits with 0 only if every step gave the right answer. Settings of the server come from `COVE_*` variables as usual;
`COVE_DEMO_MODEL` names the model to ask when an upstream is configured (default: the first that it lists).
"""

import contextlib
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import anthropic

from codecove.demo.conversation import BUILT_IN_MODEL, Conversation
from codecove.demo.process import ServerFailed, running_server, temporary_data_dir
from codecove.demo.screen import Screen
from codecove.demo.steps import STEPS, WrongAnswer

_OWN = {"COVE_API_KEY", "COVE_DATA_DIR", "COVE_HOST", "COVE_PORT", "COVE_DEMO_MODEL"}
"""Variables that the demo sets itself, or that are not the server's."""


def main() -> int:
    """Run every step; the exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    # The client would send headers that these name.
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        del os.environ[name]
    settings = {name: value for name, value in os.environ.items() if name.startswith("COVE_") and name not in _OWN}
    key = f"cove-{secrets.token_urlsafe(32)}"
    screen = Screen()
    try:
        with (
            temporary_data_dir() as data_dir,
            running_server(data_dir, settings | {"COVE_API_KEY": key}) as server,
            anthropic.Anthropic(
                base_url=server.url,
                api_key=key,
                max_retries=0,
                http_client=anthropic.DefaultHttpxClient(trust_env=False),
            ) as client,
            _undisturbed_cleanup(),
        ):
            model = os.environ.get("COVE_DEMO_MODEL") or client.models.list().data[0].id
            screen.greet(server.url, model, built_in=model == BUILT_IN_MODEL)
            for step in STEPS:
                with screen.step(step.title):
                    screen.passed(step.run(Conversation(client, model, screen)))
    except WrongAnswer as error:
        screen.failed(str(error))
        return 1
    except (ServerFailed, anthropic.APIError) as error:
        screen.failed(f"{type(error).__name__}: {error}")
        return 1
    except KeyboardInterrupt:
        screen.failed("stopped")
        return 130
    screen.summary()
    return 0


@contextlib.contextmanager
def _undisturbed_cleanup() -> Iterator[None]:
    """Entered last, left first: once the cleaning up has begun, another Ctrl-C does not stop it."""
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave the way that cleans up."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

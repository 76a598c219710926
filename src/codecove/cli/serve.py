"""cove serve: run the server until a signal ends it."""

import asyncio
import contextlib
import math
import signal
import socket
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Annotated

import structlog
import typer
import uvicorn
from starlette.applications import Starlette

from codecove import logs
from codecove.app import CannotStart, create_app
from codecove.cli.configuration import as_root, fail, load_settings
from codecove.settings import Settings

_KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep an idle connection: one that the server closes first fails the request it was reused for."""

_MOST_TYPED = 1 << 16
"""Bytes of one message to a terminal. Four of them wait, at most."""

_CLEANUP_SECONDS = 10
"""What they then get to end what they run."""

_log = structlog.stdlib.get_logger(__name__)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on, if not 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on, if not 8080; 0 takes a free one.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Where this server keeps its state.")] = None,
    image_dir: Annotated[Path | None, typer.Option(help="Where the machine's sandbox images are.")] = None,
    image: Annotated[str | None, typer.Option(help="Image that containers start from: a name or an id.")] = None,
    runtime: Annotated[str | None, typer.Option(help="OCI runtime: runsc, crun, runc or a path.")] = None,
    upstream_url: Annotated[
        str | None,
        typer.Option(help="A server that speaks the Messages protocol. Without one: the built-in codecove/blocks."),
    ] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Run the server.

    Every setting can also come from a variable `COVE_<NAME>` or the file `codecove.toml`; `cove settings` lists
    them all.

    Once the server answers, one line with its URL is printed; everything else goes to stderr.

    SIGTERM or Ctrl-C ends it: running requests get a moment to finish, then containers are put to sleep. A second
    Ctrl-C spares the wait.
    """
    as_root()
    settings = load_settings(
        host=host,
        port=port,
        data_dir=data_dir,
        image_dir=image_dir,
        image=image,
        runtime=runtime,
        upstream_url=upstream_url,
        log_level=log_level,
    )
    logs.configure(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        lifespan="off",  # `_run` enters it, for a start that fails with one clear line
        workers=1,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        forwarded_allow_ips=[],
        server_header=False,
        ws_max_size=_MOST_TYPED,
        ws_max_queue=4,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.shutdown_grace) + _CLEANUP_SECONDS,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(_run(app, settings, config))


async def _run(app: Starlette, settings: Settings, config: uvicorn.Config) -> None:
    server = _Server(
        config,
        app.state.stopping,
        grace=settings.shutdown_grace,
        suspend=lambda: app.state.services.batches.suspend(),  # noqa: PLW0108  # there are no services yet
    )
    try:
        listener = _bind(settings.host, settings.port)
    except OSError as error:
        fail(f"Cannot listen on {settings.host} port {settings.port}: {error.strerror or error}")
    with listener, server.signals():
        async with contextlib.AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(app.router.lifespan_context(app))
            except CannotStart as error:
                fail(f"Cannot start: {error}")
            except Exception as error:  # noqa: BLE001  # whatever it is, a person gets a line, not a traceback
                _log.debug("the start failed unexpectedly", exc_info=True)
                fail(f"Cannot start: {type(error).__name__}: {error}", "COVE_LOG_LEVEL=debug shows where.")
            await server.serve(sockets=[listener])
            # Uvicorn cancels what is left and does not wait for it; the parts may only close after it.
            if server.server_state.tasks:
                await asyncio.wait(server.server_state.tasks, timeout=_CLEANUP_SECONDS)
    _log.info("stopped")


def _bind(host: str, port: int) -> socket.socket:
    """A bound socket: a port in use is found before anything is started."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """Uvicorn's server that says when it is ready, and ends running requests before it ends itself."""

    def __init__(
        self, config: uvicorn.Config, stopping: asyncio.Event, *, grace: float, suspend: Callable[[], None]
    ) -> None:
        """`suspend` is called when the grace period begins: work that nobody waits for begins no more."""
        super().__init__(config)
        self._suspend = suspend
        self._stopping = stopping
        self._grace = grace

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not sockets or self.should_exit:
            return
        host, port, *_ = sockets[0].getsockname()
        sys.stdout.write(f"codecove is ready at http://{f'[{host}]' if ':' in host else host}:{port}\n")
        sys.stdout.flush()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._suspend()
        timer = asyncio.get_running_loop().call_later(self._grace, self._stopping.set)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing: `signals` has them, from before the parts start until after they have closed."""
        yield

    @contextlib.contextmanager
    def signals(self) -> Generator[None, None, None]:
        """While this is open, a signal ends the server in order, and the process then exits with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _on_signal(self, number: signal.Signals) -> None:
        if not self.should_exit:
            _log.info("stopping", signal=number.name)
            self.should_exit = True
        elif number == signal.SIGINT:
            _log.info("stopping at once")
            self._stopping.set()

"""The ASGI application: builds every part from the settings, wires them, owns their start and stop."""

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path

import structlog
from sqlalchemy import URL
from starlette.applications import Starlette
from starlette.middleware import Middleware

from codecove import __version__, clock
from codecove.api.errors import HANDLERS, failure_of
from codecove.api.middleware import RequestContext
from codecove.api.rates import RateLimits
from codecove.api.routes import ROUTES
from codecove.api.services import Services
from codecove.batches.service import Batches, Policy
from codecove.containers.journal import Journal
from codecove.containers.retention import forget_ended
from codecove.containers.service import Containers
from codecove.direct.executions import Executions
from codecove.direct.files import ContainerFiles
from codecove.direct.terminals import Terminals
from codecove.files.blobs import Blobs, BlobStoreUnavailable
from codecove.files.places import UnsupportedPlace, blob_place
from codecove.files.service import Files
from codecove.files.upkeep import Upkeep
from codecove.gauges import SandboxTimes, of_host, watched_backlog
from codecove.images.errors import ImageError
from codecove.images.library import Image, Library
from codecove.messages.service import Messages
from codecove.messages.upstream import Upstreams
from codecove.models import Models
from codecove.observe.chores import Chores
from codecove.observe.observer import Observer
from codecove.observe.tracing import Tracing, TracingUnavailable
from codecove.sandbox.errors import SandboxError
from codecove.sandbox.limits import Limits
from codecove.sandbox.local import HostConfig, LocalHost
from codecove.sandbox.pool import PoolSize
from codecove.sandbox.rest import Freezing
from codecove.settings import Settings
from codecove.store.address import UnsupportedDatabase
from codecove.store.audit import Audit
from codecove.store.claim import DatabaseInUse
from codecove.store.database import SERVER, Database, DatabaseUnavailable
from codecove.store.keys import Keys
from codecove.store.workspaces import Workspaces
from codecove.tools.facts import facts_from
from codecove.tools.precedence import Precedence
from codecove.usage.service import Usage
from codecove.usage.sums import Prices

_HOUR = 3600.0
_log = structlog.stdlib.get_logger(__name__)


class CannotStart(Exception):
    """A part can't be built from the settings, on this machine, now. The message says what to do."""


def create_app(settings: Settings) -> Starlette:
    """The application. Its parts live as long as its lifespan; entering that raises `CannotStart`."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
        async with AsyncExitStack() as stack:
            app.state.services = await _build(settings, observer, app.state.stopping, stack)
            yield

    observer = Observer(tracing=Tracing(settings.otlp_endpoint))

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(RequestContext, observer=observer)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.stopping = asyncio.Event()
    return app


async def _build(settings: Settings, observer: Observer, stopping: asyncio.Event, stack: AsyncExitStack) -> Services:
    """Open every part, each before those that use it; `stack` closes them the other way round."""
    image = find_image(settings)
    stack.enter_context(locked_data_dir(settings.data_dir))
    database = await open_database(settings, stack)
    try:
        await stack.enter_async_context(database.claimed())
        blobs = Blobs(blob_place(settings))
        await blobs.check()
        await stack.enter_async_context(observer.tracing)
    except (DatabaseInUse, UnsupportedPlace, BlobStoreUnavailable, TracingUnavailable) as error:
        raise CannotStart(str(error)) from error
    if database.unfinished:
        _log.warning(
            "once no older version is to come back on this database: cove database upgrade",
            post_steps=database.unfinished,
        )
    await _audit(settings, database, observer, stack)
    keys = await _keys(settings, database)
    stored = Files(database=database, blobs=blobs, max_size=settings.max_file_size, quota=settings.workspace_storage)
    await stack.enter_async_context(Upkeep(database=database, blobs=blobs, metrics=observer.metrics))
    config = host_config(settings, image.rootfs)
    host = await _open_host(config, database, stack)
    containers = await stack.enter_async_context(_containers(settings, database, host, observer))
    precedence = Precedence(cores=len(os.sched_getaffinity(0)))
    requests = Messages(
        settings=settings,
        upstreams=await stack.enter_async_context(Upstreams(settings, observer)),
        containers=containers,
        files=stored,
        facts=facts_from(image.manifest, config.limits, execution_timeout=settings.execution_timeout),
        precedence=precedence,
    )
    batches = await stack.enter_async_context(_batches(settings, database, requests, observer))
    host.observe(SandboxTimes(observer.metrics))
    observer.metrics.watch(lambda: of_host(host.statistics()))
    return Services(
        settings=settings,
        keys=keys,
        workspaces=Workspaces(database),
        files=stored,
        messages=requests,
        batches=batches,
        containers=containers,
        container_files=ContainerFiles(containers),
        executions=Executions(settings=settings, containers=containers, files=stored, precedence=precedence),
        terminals=Terminals(containers),
        rates=RateLimits(),
        usage=await stack.enter_async_context(_usage(settings, database, observer)),
        models=await stack.enter_async_context(Models(settings)),
        metrics=observer.metrics,
        backlog=watched_backlog(observer.metrics, batches.backlog),
        stopping=stopping,
    )


def _usage(settings: Settings, database: Database, observer: Observer) -> Usage:
    prices = Prices(hour=settings.session_price, free_hours=settings.free_session_hours)
    return Usage(database, prices=prices, retention=settings.usage_retention, metrics=observer.metrics)


async def _audit(settings: Settings, database: Database, observer: Observer, stack: AsyncExitStack) -> None:
    """Start and stop are acts too. What is known of the past is held to its retention."""
    audit = Audit(database)
    await audit.record("server.start", f"codecove {__version__}")
    stack.push_async_callback(audit.record, "server.stop", f"codecove {__version__}")
    chores = await stack.enter_async_context(Chores(observer.metrics))
    if (acts := settings.audit_retention) is not None:
        chores.every(_HOUR, "shorten the audit log", lambda: audit.forget(clock.now() - timedelta(days=acts)))
    if (rows := settings.usage_retention) is not None:
        chores.every(_HOUR, "forget containers", lambda: forget_ended(database, clock.now() - timedelta(days=rows)))


async def _keys(settings: Settings, database: Database) -> Keys:
    keys = Keys(database)
    await keys.ensure(settings.api_key.get_secret_value() if settings.api_key else None)
    if not any(key.revoked_at is None for key in await keys.list()):
        _log.warning("there is no API key yet, so every request will be refused: cove keys create NAME")
    return keys


def _containers(settings: Settings, database: Database, host: LocalHost, observer: Observer) -> Containers:
    return Containers(
        database=database,
        host=host,
        idle_expiry=settings.container_idle_expiry,
        max_age=settings.container_max_age,
        on_expired=settings.on_expired,
        observer=observer,
        session_minimum=settings.session_minimum,
    )


def _batches(settings: Settings, database: Database, messages: Messages, observer: Observer) -> Batches:
    policy = Policy(
        concurrency=settings.batch_concurrency,
        workspace_concurrency=settings.batch_workspace_concurrency,
        expiry=settings.batch_expiry,
        results_days=settings.batch_results_days,
        workspace_storage=settings.workspace_storage,
        grace=settings.shutdown_grace,
    )
    return Batches(
        database=database,
        directory=settings.data_dir,
        messages=messages,
        policy=policy,
        envelope=lambda error, request_id: failure_of(error).envelope(request_id),
        metrics=observer.metrics,
    )


async def _open_host(config: HostConfig, database: Database, stack: AsyncExitStack) -> LocalHost:
    """The sandboxes of this machine; what happens to them is written into the database, to the end."""
    journal = await stack.enter_async_context(Journal(database))
    try:
        host = await stack.enter_async_context(LocalHost(config))
    except SandboxError as error:
        raise CannotStart(str(error)) from error
    host.observe(journal)
    return host


async def open_database(settings: Settings, stack: AsyncExitStack, *, actor: str = SERVER) -> Database:
    """The database that the settings name, open until the stack is closed. Raises `CannotStart`."""
    try:
        return await stack.enter_async_context(Database(database_url(settings), actor=actor))
    except (UnsupportedDatabase, DatabaseUnavailable) as error:
        raise CannotStart(str(error)) from error


def database_url(settings: Settings) -> URL | str:
    """The URL of the database that the settings name."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return URL.create("sqlite", database=str(database_path(settings)))


def database_path(settings: Settings) -> Path:
    """The file of the database, if that is SQLite."""
    return settings.data_dir / "codecove.db"


def make_data_dir(directory: Path) -> None:
    """Make the data directory if need be, for its owner alone. Raises `CannotStart`."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"the data directory {directory} can't be made: {error.strerror}") from error


@contextmanager
def locked_data_dir(directory: Path) -> Generator[None, None, None]:
    """The data directory, made if need be, and locked: one server at a time. Raises `CannotStart`.

    The lock goes with the process, however that ends.
    """
    make_data_dir(directory)
    try:
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise CannotStart(f"the data directory {directory} can't be used: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise CannotStart(
            f"another server is using the data directory {directory}; stop it, or set COVE_DATA_DIR to another one"
        ) from None
    try:
        yield
    finally:
        os.close(lock)


def find_image(settings: Settings) -> Image:
    """The image that the settings name. Raises `CannotStart`."""
    try:
        return Library(settings.image_dir).resolve(settings.image)
    except ImageError as error:
        raise CannotStart(str(error)) from error


def host_config(settings: Settings, rootfs: Path) -> HostConfig:
    """The sandbox's part of the settings."""
    limits = Limits(
        memory_bytes=settings.memory,
        disk_bytes=settings.disk,
        cpus=settings.cpus,
        processes=settings.processes,
        open_files=settings.open_files,
        output_bytes=settings.output_limit,
    )
    return HostConfig(
        directory=settings.data_dir / "sandbox",
        rootfs=rootfs,
        programs=_shared_programs(settings.image_dir),
        runtime=settings.runtime,
        limits=limits,
        max_containers=settings.max_containers,
        memory_reserve=settings.memory_reserve,
        memory_overcommit=settings.memory_overcommit,
        admission_wait=settings.admission_wait,
        boot_timeout=settings.boot_timeout,
        expedite=settings.expedite,
        freezing=Freezing(after=settings.freeze_after, background_grace=settings.background_grace),
        idle_sleep=settings.idle_sleep,
        pool=PoolSize(minimum=settings.pool_min, maximum=settings.pool_max),
    )


def _shared_programs(image_dir: Path) -> Path | None:
    """Beside the images, which servers of a machine share as well; None where this one may only read."""
    return image_dir / ".guest" if os.access(image_dir, os.W_OK) else None

"""A PostgreSQL of the tests' own, from the machine's packages: in a temporary directory, on a Unix socket only."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import URL

from codecove.store.database import Database
from codecove.store.tables import Table
from codecove.workspaces import DEFAULT_WORKSPACE_ID

_USER = "codecove"
_MIGRATED = "migrated"
_EMPTY = "; ".join(
    [
        *(f"DELETE FROM {table.name}" for table in reversed(Table.metadata.sorted_tables)),
        f"INSERT INTO workspaces (id, name, created_at) VALUES ('{DEFAULT_WORKSPACE_ID}', 'default', now())",
    ]
)
# Nothing of it is to survive the tests, so nothing need reach the disk.
_OPTIONS = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=32MB", "max_connections=60")


class Postgres:
    """A running cluster."""

    def __init__(self, socket_dir: Path) -> None:
        self._socket_dir = socket_dir
        self._free: list[str] = []

    def url(self, name: str) -> URL:
        return URL.create("postgresql", username=_USER, database=name, query={"host": str(self._socket_dir)})

    @contextlib.asynccontextmanager
    async def database(self) -> AsyncIterator[URL]:
        """A database with the current schema, and as good as new, for the time of the block."""
        if not self._free:
            await self._run(f"CREATE DATABASE {_MIGRATED}")
            async with Database(self.url(_MIGRATED)):
                self._free.append(_MIGRATED)
        name = self._free.pop()
        try:
            yield self.url(name)
        finally:
            await self._run(_EMPTY, database=name)
            self._free.append(name)

    @contextlib.asynccontextmanager
    async def new_database(self) -> AsyncIterator[URL]:
        """A database with nothing in it, for the time of the block."""
        name = f"new_{uuid.uuid4().hex}"
        await self._run(f"CREATE DATABASE {name}")
        try:
            yield self.url(name)
        finally:
            await self._run(f"DROP DATABASE {name} WITH (FORCE)")

    async def break_connections(self, url: URL) -> None:
        """End every connection to a database, as a restart of the server does."""
        await self._run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.database}'")

    async def _run(self, statements: str, *, database: str = "postgres") -> None:
        connection = await asyncpg.connect(user=_USER, database=database, host=str(self._socket_dir))
        try:
            await connection.execute(statements)  # of several all or none, in one message
        finally:
            await connection.close()


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A cluster for the time of the block."""
    directory = Path(tempfile.mkdtemp(prefix="codecove-postgres-"))
    owner = _owner()
    os.chown(directory, owner.pw_uid, owner.pw_gid)
    try:
        data = directory / "data"
        _command(owner, "initdb", "-D", str(data), "-U", _USER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        with _server(owner, data, directory):
            yield Postgres(directory)
    finally:
        shutil.rmtree(directory)


@contextlib.contextmanager
def _server(owner: pwd.struct_passwd, data: Path, socket_dir: Path) -> Iterator[None]:
    options = [argument for option in _OPTIONS for argument in ("-c", option)]
    arguments = [_program("postgres"), "-D", str(data), "-k", str(socket_dir), "-c", "listen_addresses=", *options]
    log = socket_dir / "log"
    with log.open("wb") as output:
        # It ends with the tests, however these end.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "QUIT", *_drop_to(owner), *arguments], stdout=output, stderr=output, env={}
        )
    try:
        for _ in range(600):
            if (
                subprocess.run([_program("pg_isready"), "-q", "-h", str(socket_dir)], env={}, check=False).returncode
                == 0
            ):
                break
            assert process.poll() is None, log.read_text()
        else:
            raise AssertionError(log.read_text())
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def _command(owner: pwd.struct_passwd, program: str, *arguments: str) -> None:
    subprocess.run(
        ["setpriv", *_drop_to(owner), _program(program), *arguments], check=True, capture_output=True, env={}
    )


def _owner() -> pwd.struct_passwd:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _drop_to(owner: pwd.struct_passwd) -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["--reuid", str(owner.pw_uid), "--regid", str(owner.pw_gid), "--clear-groups"]


def _program(name: str) -> str:
    """Debian keeps the servers' programs out of PATH, one directory for each version."""
    places = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    found = str(places[0]) if places else shutil.which(name)
    assert found is not None, f"{name} is not installed: run `make setup-tests`"
    return found

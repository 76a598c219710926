"""Where the database is: URLs as operators write them, and how each kind of database is connected to."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_PORT = 5432
_CONNECT_SECONDS = 30.0
_COMMAND_SECONDS = 120.0


class UnsupportedDatabase(Exception):
    """The URL names a database that codecove does not run on, or leaves out what is needed to reach it."""


@dataclass(frozen=True, slots=True)
class Address:
    """A database, and how the driver is to connect to it."""

    url: URL
    """With the driver's name."""
    connect_args: dict[str, Any] = field(default_factory=dict)

    @property
    def is_sqlite(self) -> bool:
        """Otherwise it is PostgreSQL."""
        return self.url.get_backend_name() == "sqlite"

    def blocking(self) -> URL:
        """The same PostgreSQL for psycopg, the driver of code that is not asynchronous."""
        given = self.connect_args
        ssl = given["ssl"]
        return self.url.set(
            drivername="postgresql+psycopg",
            host=None if str(given["host"]).startswith("/") else given["host"],
            port=given["port"],
            password=given["password"] or None,
            query={
                **({"host": given["host"]} if str(given["host"]).startswith("/") else {}),
                "sslmode": ssl or "disable",
                # Otherwise it would look for passwords in the home directory.
                "passfile": "/nonexistent",
                "connect_timeout": str(int(_CONNECT_SECONDS)),
                "application_name": "codecove-batches",
            },
        )


def address(url: str | URL) -> Address:
    """The address that a URL means; a driver's name in it is ignored. Raises `UnsupportedDatabase`.

    `sqlite:////path/to/file`, or `postgresql://user[:password]@host[:port]/name`, for a Unix socket
    `postgresql://user@/name?host=/directory`; `?sslmode=` is as in libpq.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise UnsupportedDatabase("the database's URL can't be parsed: expected postgresql://…") from error
    backend = parsed.get_backend_name()
    if backend not in _DRIVERS:
        raise UnsupportedDatabase(f"{backend}: only sqlite and postgresql are supported")
    parsed = parsed.set(drivername=_DRIVERS[backend])
    return Address(parsed) if backend == "sqlite" else _postgresql(parsed)


def _postgresql(url: URL) -> Address:
    """All that the driver would otherwise take from `PG…` variables or files in the home directory is given here."""
    query = dict(url.query)
    host = url.host or query.pop("host", None)
    if not (host and url.username and url.database):
        raise UnsupportedDatabase(
            "the database's URL must name a user, a host and a database: postgresql://user@host/name"
        )
    connect_args: dict[str, Any] = {
        "host": host,
        "port": url.port or int(str(query.pop("port", _PORT))),
        "password": url.password or "",
        "timeout": _CONNECT_SECONDS,
        "command_timeout": _COMMAND_SECONDS,
        "target_session_attrs": "any",
        "server_settings": {"application_name": "codecove"},
    }
    ssl = query.pop("sslmode", None) or query.pop("ssl", None) or "prefer"
    connect_args["ssl"] = False if str(host).startswith("/") else ssl
    if query:
        raise UnsupportedDatabase(f"the database's URL has parameters that are not known: {', '.join(sorted(query))}")
    return Address(URL.create(url.drivername, username=url.username, database=url.database), connect_args)

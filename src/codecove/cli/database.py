"""The server's database, for commands that manage it. They work while the server runs, and while it does not."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from codecove.app import CannotStart, make_data_dir, open_database
from codecove.cli.configuration import fail, load_settings
from codecove.errors import CodecoveError
from codecove.store.audit import command_line_user
from codecove.store.database import Database

_T = TypeVar("_T")
DataDir = Annotated[Path | None, typer.Option("--data-dir", help="The server's data directory.")]


def with_database(data_dir: Path | None, action: Callable[[Database], Awaitable[_T]]) -> _T:
    """The result of `action`. What it raises as a `CodecoveError` ends the command with exit code 1."""
    settings = load_settings(data_dir=data_dir)

    async def work() -> _T:
        async with AsyncExitStack() as stack:
            return await action(await open_database(settings, stack, actor=command_line_user()))

    try:
        make_data_dir(settings.data_dir)
        return asyncio.run(work())
    except CannotStart as error:
        fail(f"Cannot open the database: {error}")
    except CodecoveError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from None

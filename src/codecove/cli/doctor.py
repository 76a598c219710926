"""cove doctor: check a machine and its settings by using them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from codecove import logs
from codecove.cli.configuration import as_root, load_settings
from codecove.doctor import access, machine, sandbox, upstream
from codecove.doctor.finding import Finding, Verdict
from codecove.settings import Settings

_MARKS: dict[Verdict, str] = {"good": "[green]ok  [/]", "warning": "[yellow]warn[/]", "bad": "[red]bad [/]"}


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False) -> None:
    """Check everything the server needs, by using it: it boots a container and runs into each limit.

    For each part: what was found, whether it is good, and what to do. Takes some seconds; can be run beside a
    running server. The exit code is 1 if anything is bad.
    """
    as_root()
    settings = load_settings()
    logs.configure(settings)
    found = asyncio.run(_examine(settings, None if as_json else Console(highlight=False)))
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in found], indent=2, ensure_ascii=False))
    if any(finding.verdict == "bad" for finding in found):
        raise typer.Exit(1)


async def _examine(settings: Settings, console: Console | None) -> list[Finding]:
    """All findings, each shown as soon as it is there."""
    found = []
    async for finding in _findings(settings):
        found.append(finding)
        if console is not None:
            _show(finding, console)
    if console is not None:
        console.print(_summary(found))
    return found


async def _findings(settings: Settings) -> AsyncIterator[Finding]:
    for finding in machine.check(settings):
        yield finding
    async for finding in sandbox.check(settings):
        yield finding
    async for finding in upstream.check(settings):
        yield finding
    async for finding in access.check(settings):
        yield finding


def _show(finding: Finding, console: Console) -> None:
    line = Table.grid(padding=(0, 1))
    line.add_column(width=4)
    line.add_column(width=17, overflow="fold")
    line.add_column()
    line.add_row(_MARKS[finding.verdict], f"[bold]{escape(finding.part)}[/]", escape(finding.found))
    if finding.remedy:
        line.add_row("", "", f"[italic]-> {escape(finding.remedy)}[/]")
    console.print(line)


def _summary(found: list[Finding]) -> str:
    wrong = sum(finding.verdict == "bad" for finding in found)
    doubtful = sum(finding.verdict == "warning" for finding in found)
    if wrong:
        return f"\n[red]{wrong} of {len(found)} checks failed.[/] The server can't do its work like this."
    if doubtful:
        return f"\n[yellow]All is good but {doubtful} of {len(found)} checks.[/]"
    return f"\n[green]All {len(found)} checks are good.[/]"

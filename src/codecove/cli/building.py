"""How far the build of an image is, for the person who waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from codecove.cli.transfer import printable
from codecove.images.build import STEPS


class Building:
    """A line for each step; on a terminal also a bar, with what the step's program said last."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("", total=STEPS)
        self._begun = 0

    def step(self, words: str) -> None:
        """As `Report.step`."""
        self._bar.console.print(words, style="dim")
        self._bar.update(self._task, completed=self._begun, description="")
        self._begun += 1

    def line(self, text: str) -> None:
        """As `Report.line`."""
        self._bar.update(self._task, description=printable(text))


@contextmanager
def building(console: Console) -> Iterator[Building]:
    """Shows it until the block ends."""
    said = TextColumn("{task.description}", style="dim", markup=False, table_column=Column(no_wrap=True, ratio=1))
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), said)
    with Progress(*columns, console=console, transient=True, expand=True, disable=not console.is_terminal) as bar:
        yield Building(bar)

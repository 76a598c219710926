"""What a person sees of the demo: questions, code as it is written, results, a summary."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

_CODE_FIELDS = {"code": "python", "command": "bash", "file_text": "python"}
_MAX_LINES = 30


@dataclass
class _Line:
    """One row of the summary."""

    title: str
    proof: str = ""
    seconds: float = 0


class Screen:
    """Prints to the terminal; on anything else the same without moving parts."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._shows_text = True
        self._lines: list[_Line] = []
        self._live: Live | None = None
        self._call_name = ""

    def greet(self, url: str, model: str, *, built_in: bool) -> None:
        # The built-in model can only repeat the results, which are shown already.
        self._shows_text = not built_in
        self._console.print(
            Panel(
                f"[bold]codecove[/] answers at [cyan]{url}[/], with [cyan]{model}[/] as the model.\n"
                "All that follows is the official [cyan]anthropic[/] client, streaming.",
                border_style="cyan",
            )
        )

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step of the demo, timed."""
        self._console.print()
        self._console.print(Rule(f"[bold]{len(self._lines) + 1}. {title}", align="left", style="cyan"))
        self._lines.append(_Line(title))
        start = time.monotonic()
        try:
            yield
        finally:
            self._stop_live()
            self._lines[-1].seconds = time.monotonic() - start

    def question(self, words: str, *, file_count: int) -> None:
        attached = f"  [dim](+ {file_count} file)[/]" if file_count else ""
        self._console.print(f"[bold cyan]>[/] {escape(words.strip())}{attached}")

    def show(self, event: Any) -> None:
        """One event of the stream, as the client's helper gives it."""
        match event.type:
            case "text" if self._shows_text:
                self._console.print(event.text, end="", markup=False)
            case "content_block_start" if event.content_block.type == "server_tool_use":
                self._call_name = event.content_block.name
                self._start_live()
            case "input_json" if self._live is not None and isinstance(event.snapshot, dict):
                self._live.update(self._call(event.snapshot))
            case "content_block_stop" if event.content_block.type == "text" and self._shows_text:
                self._console.print()
            case "content_block_stop" if event.content_block.type == "server_tool_use":
                self._stop_live()
                self._console.print(self._call(event.content_block.input))
            case "content_block_stop" if event.content_block.type.endswith("_tool_result"):
                self._console.print(_result(event.content_block.content.to_dict(mode="json")))

    def passed(self, proof: str) -> None:
        self._lines[-1].proof = proof
        self._console.print(f"[bold green]✓[/] {escape(proof)}")

    def failed(self, reason: str) -> None:
        self._stop_live()
        self._console.print(Panel(Text(reason), title="failed", border_style="red", title_align="left"))

    def summary(self) -> None:
        table = Table(
            show_edge=False, header_style="bold", title="\nEverything gave the right answer", title_style="bold green"
        )
        table.add_column("step")
        table.add_column("shown")
        table.add_column("seconds", justify="right")
        for line in self._lines:
            table.add_row(line.title, line.proof, f"{line.seconds:.1f}")
        self._console.print(table)

    def _start_live(self) -> None:
        """Show a call while it is written, on a terminal that can take it back."""
        if self._console.is_terminal:
            self._live = Live(self._call({}), console=self._console, refresh_per_second=20, transient=True)
            self._live.start()

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _call(self, arguments: dict[str, Any]) -> RenderableType:
        """A call's input as far as it is known: its code in colour, its other fields as they are."""
        parts: list[RenderableType] = []
        is_editor = self._call_name.startswith("text_editor")
        for name, value in arguments.items():
            language = _CODE_FIELDS.get(name)
            if language is None or (is_editor and name == "command"):
                parts.append(Text.assemble((f"{name}: ", "dim"), str(value)))
            else:
                parts.append(Syntax(str(value).rstrip(), language, background_color="default", word_wrap=True))
        return Panel(Group(*parts), title=self._call_name, title_align="left", border_style="blue")


def _result(result: dict[str, Any]) -> RenderableType:
    """A result's content: output in green, or in red when it failed."""
    failed = "error_code" in result or result.get("return_code", 0) != 0
    parts = [Text(_shortened(text), style=style) for text, style in _texts(result) if text]
    style = "red" if failed else "green"
    return Panel(Group(*parts), title=_headline(result), title_align="left", border_style=style)


def _headline(result: dict[str, Any]) -> str:
    if "error_code" in result:
        return str(result["error_code"])
    if "return_code" in result:
        return f"return code {result['return_code']}"
    return str(result["type"]).removeprefix("text_editor_code_execution_").removesuffix("_result")


def _texts(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield str(result.get("stdout") or "").rstrip(), ""
    yield str(result.get("stderr") or "").rstrip(), "red"
    yield str(result.get("error_message") or ""), "red"
    yield "\n".join(result.get("lines") or []), ""
    if "is_file_update" in result:
        yield "file replaced" if result["is_file_update"] else "file created", "dim"
    content = result.get("content")
    if isinstance(content, str):
        yield content, ""
    for file in content if isinstance(content, list) else []:
        yield f"file {file['file_id']}", "cyan"


def _shortened(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= _MAX_LINES:
        return text
    return "\n".join([*lines[:_MAX_LINES], f"… {len(lines) - _MAX_LINES} more lines"])

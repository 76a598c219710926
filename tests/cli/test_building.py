"""How far the build of an image is, as the terminal and a log show it."""

import io

import pytest
from rich.console import Console

from codecove.cli.building import building


@pytest.mark.parametrize("terminal", [True, False])
def test_steps_are_lines_and_a_terminal_has_a_bar_too(terminal: bool) -> None:
    output = io.StringIO()
    with building(Console(file=output, force_terminal=terminal, color_system=None, width=100)) as report:
        report.step("Installing")
        report.line("Setting up [tar]")
        report.step("Downloading")
    shown = output.getvalue()
    assert ("━" in shown) == terminal
    assert "1/5" in shown if terminal else shown == "Installing\nDownloading\n"

"""Every line looks the same, whichever library it was written with, and none fails who writes it."""

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from codecove import logs
from codecove.settings import Settings


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("codecove")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def lines(monkeypatch: pytest.MonkeyPatch, **settings: str) -> io.StringIO:
    """What is written from now on."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    logs.configure(Settings.model_validate(settings))
    return stream


def test_a_line_says_the_same_whichever_library_it_came_by(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = lines(monkeypatch, log_format="json")
    structlog.stdlib.get_logger("codecove.part").warning("it is %s", "late")
    logging.getLogger("codecove.part").warning("it is %s", "late")
    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours.pop("timestamp") <= theirs.pop("timestamp")
    assert ours == theirs == {"message": "it is late", "level": "warning", "logger": "codecove.part"}


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_is_below_the_level_is_left_out_and_an_error_has_its_traceback(
    monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    stream = lines(monkeypatch, log_format=log_format, log_level="warning")
    logger = structlog.stdlib.get_logger("codecove.part")
    logger.info("not this")
    try:
        raise ValueError("of no use")
    except ValueError:
        logger.exception("failed", container_id="c")
    assert "not this" not in stream.getvalue()
    assert "Traceback" in stream.getvalue()
    assert "ValueError: of no use" in stream.getvalue()


def test_where_no_line_can_be_written_nobody_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(28, "No space left on device")

    lines(monkeypatch)
    monkeypatch.setattr(sys, "stderr", Full())
    structlog.stdlib.get_logger("codecove.part").error("lost")

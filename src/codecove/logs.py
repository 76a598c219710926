"""Logging to stderr: readable lines or JSON. Never prompts, code, file contents or keys."""

import contextlib
import logging
import sys
from typing import Literal

import structlog

from codecove.settings import Settings


def configure(settings: Settings) -> None:
    """Send everything that this process logs, the libraries' lines too, through structlog to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    render = _renderers(settings.log_format)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    # Not by way of the standard library, which takes longer over a line than all else here: a request writes two.
    structlog.configure(
        processors=[*shared, *render],
        logger_factory=_Lines,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[strip, *render]))
    # Libraries say at `info` and `debug` what only their authors need, among it the values in SQL statements.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("codecove").setLevel(level)


class _Lines:
    """What structlog hands its lines to."""

    def __init__(self, name: str) -> None:
        self.name = name

    def info(self, line: str) -> None:
        with contextlib.suppress(OSError):  # no request fails because its line can't be written
            sys.stderr.write(f"{line}\n")  # which is flushed at the end of each line

    debug = warning = error = critical = info


def _renderers(log_format: Literal["console", "json"]) -> list[structlog.typing.Processor]:
    if log_format == "json":
        traceback = structlog.processors.format_exc_info
        return [traceback, structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]

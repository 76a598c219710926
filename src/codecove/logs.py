"""Logging to stderr: readable lines or JSON. Never prompts, code, file contents or keys."""

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
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=_renderers(settings.log_format))
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    # Libraries say at `info` and `debug` what only their authors need, among it the values in SQL statements.
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("codecove").setLevel(level)


def _renderers(log_format: Literal["console", "json"]) -> list[structlog.typing.Processor]:
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    if log_format == "json":
        traceback = structlog.processors.format_exc_info
        return [strip, traceback, structlog.processors.EventRenamer("message"), structlog.processors.JSONRenderer()]
    plain = structlog.dev.plain_traceback
    return [strip, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]

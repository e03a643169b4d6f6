"""Logging: structlog for everything, human on a terminal, one JSON object a line otherwise. Libraries speak through it too."""

from __future__ import annotations

import logging
import sys

import structlog

#: libraries whose debug and info chatter is not for operators
_QUIET = ("pymodbus", "apscheduler", "asyncio")


def _say_it_once(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """For people: a device that the sentence names already is not named again behind it."""
    where, text = event.get("where"), str(event.get("event")).removeprefix("cleared: ")
    if text.startswith((f"{where} ", f"{where}:")):
        del event["where"]
    return event


def set_up(level: str = "info", *, human: bool | None = None) -> None:
    """Send all logs to standard error.

    Args:
        human: coloured lines for people, or JSON; None = people if standard error is a terminal.
    """
    human = sys.stderr.isatty() if human is None else human
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ" if human else "iso", utc=True),
    ]
    # a traceback with every local variable, as it is by default where rich is installed, holds all zones up for seconds
    last: list[structlog.typing.Processor] = (
        [_say_it_once, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if human
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))

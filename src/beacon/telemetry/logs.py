"""Logs: sentences for a person on a terminal, JSON lines anywhere else; always on stderr."""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logs(*, least: int = logging.INFO) -> None:
    """To be called once a process; `least` is the least level that is written."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )

"""Logs as key=value lines, each with its trace id.

A log may contain ids, states, counts and times. It must not contain patient data, file names or secrets.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from celery import signals

from classifier.core import trace

ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "data"}


class KeyValueFormatter(logging.Formatter):
    """time=... level=... logger=... trace=... message=..., then the pairs given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "trace": trace.current_id(),
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in ORDINARY},
        }
        if record.exc_info:
            pairs["error"] = self.formatException(record.exc_info)
        return " ".join(f"{name}={_quote(value)}" for name, value in pairs.items() if value not in ("", None))


def _quote(value: Any) -> str:
    text = str(value)
    plain = text.isprintable() and not any(letter in text for letter in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def keep_in_workers() -> None:
    """Keep Celery from replacing the logging that Django has set up."""
    signals.setup_logging.connect(_leave_alone)


def _leave_alone(**kwargs: Any) -> None:
    """Celery sets up no logging while a receiver of this signal is connected."""

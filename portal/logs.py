"""Logs as key=value lines; each carries the id that a request shares with the tasks it causes.

What may stand in a log: ids, states, counts, times. What may not: patient data, file names, secrets.
"""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from celery import Task, signals

from classifier.core import trace

HEADER = "trace"
ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "data"}


class KeyValueFormatter(logging.Formatter):
    """time=... level=... logger=... trace=... message=... and whatever was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        pairs = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "trace": trace.current.get(),
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


def follow_tasks() -> None:
    """A task's messages carry the id of whoever sent it; Celery leaves logging as Django has set it up."""
    signals.setup_logging.connect(_leave_alone)
    signals.before_task_publish.connect(_send_along)
    signals.task_prerun.connect(_take_over)
    signals.task_postrun.connect(_forget)


def _leave_alone(**kwargs: Any) -> None:
    """That somebody listens to this signal is enough."""


def _send_along(headers: dict[str, Any], **kwargs: Any) -> None:
    headers[HEADER] = trace.current.get()


def _take_over(task: Task, **kwargs: Any) -> None:  # type: ignore[type-arg]
    trace.current.set(getattr(task.request, HEADER, "") or trace.new())


def _forget(**kwargs: Any) -> None:
    trace.current.set("")

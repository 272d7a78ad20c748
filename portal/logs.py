"""Logs as key=value lines, each with its trace id.

A log may contain ids, states, counts and times. It must not contain patient data, file names or secrets.
"""

import json
import logging
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from celery import signals

from classifier.core import trace

ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "request", "data"}
# Addresses with a part that opens an account, and headers and fields with passwords, tokens and cookies.
SECRETS = re.compile(
    r"""
    (?P<address> first-admin/ | password/reset/key/ | confirm-email/ )  [^/\s"'<>]+
  | (?P<header> \b(?:authorization|proxy-authorization|cookie|set-cookie|x-csrftoken)['"]?\s*[:=]\s* ) [^\r\n]+
  | (?P<scheme> \b(?:bearer|basic)\s+ ) [\w.~+/=-]+
  | (?P<field> \b(?:\w*password\w*|sessionid|csrftoken|csrfmiddlewaretoken|\w*secret\w*|token)['"]?\s*[:=]\s*['"]? )
    [^\s&'",;}]+
  | (?P<url> ://[^\s:/@]*: ) [^\s/@]+ (?=@)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def without_secrets(text: str) -> str:
    """Returns the text with the word [secret] for what opens an account."""
    if "%" in text and SECRETS.search(unquote(text)) and not SECRETS.search(text):
        text = unquote(text)
    return SECRETS.sub(lambda found: f"{found[found.lastgroup or 0]}[secret]", text)


class KeyValueFormatter(logging.Formatter):
    """time=... level=... logger=... trace=... message=..., then the pairs given as `extra`. Secrets are left out.

    Each logger of the portal writes through it, so that no library can log a secret.
    """

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
    text = without_secrets(str(value))
    plain = text.isprintable() and not any(letter in text for letter in ' "=')
    return text if plain else json.dumps(text, ensure_ascii=False)


def keep_in_workers() -> None:
    """Keep Celery from replacing the logging that Django has set up."""
    signals.setup_logging.connect(_leave_alone)


def _leave_alone(**kwargs: Any) -> None:
    """Celery sets up no logging while a receiver of this signal is connected."""

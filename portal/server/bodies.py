"""Reads the body of a request into a temporary file, within limits of size and time."""

import tempfile
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

Receive = Callable[[], Awaitable[dict[str, Any]]]
Body = tempfile.SpooledTemporaryFile[bytes]

IN_MEMORY_BYTES = 64 * 1024
# A client may be slow for the first minute, then it has to send this much on average.
PATIENCE_SECONDS = 60.0
MIN_BYTES_PER_SECOND = 512
# How long a body that nobody wants is discarded, so that the client can read the answer.
DISCARD_SECONDS = 10.0


class ClientGone(Exception):
    """The client closed the connection, or was silent for too long."""


class TooSlow(Exception):
    """The client sends its body too slowly."""


class TooLarge(Exception):
    """The body is larger than its limit."""


def new_body() -> Body:
    """Returns an empty body, which becomes an unnamed file when it grows."""
    # An unnamed file: the system removes it when the process ends, however that ends.
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(settings.FILE_UPLOAD_TEMP_DIR))


async def read(receive: Receive, body: Body, limit: int) -> int:
    """Writes the body of the request to `body` and returns its size in bytes.

    Raises:
        ClientGone, TooSlow: the body is incomplete.
        TooLarge: it has more than `limit` bytes.
        OSError: it could not be written.
    """
    started = time.monotonic()
    size = 0
    async for chunk in _chunks(receive):
        size += len(chunk)
        if size > limit:
            raise TooLarge
        if time.monotonic() - started > PATIENCE_SECONDS + size / MIN_BYTES_PER_SECOND:
            raise TooSlow
        body.write(chunk)
    body.seek(0)
    return size


async def discard(receive: Receive) -> None:
    """Reads the rest of the body without keeping it, for at most DISCARD_SECONDS."""
    until = time.monotonic() + DISCARD_SECONDS
    try:
        async for _ in _chunks(receive):
            if time.monotonic() > until:
                return
    except ClientGone:
        return


async def _chunks(receive: Receive) -> Any:
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        yield message.get("body", b"")
        if not message.get("more_body"):
            return

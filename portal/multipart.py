"""Repairs the names of files in multipart bodies, which Django would otherwise drop without a word."""

import re
from typing import Any

from django.utils.http import parse_header_parameters

# The name of a file that is sent without one.
UNNAMED = "X-ray"
FILE_FIELD = "file"
CHUNK_BYTES = 64 * 1024
MAX_HEADER_BYTES = 8 * 1024
END_OF_HEADERS = b"\r\n\r\n"


class PartsWithNames:
    """Reads a multipart body, in which each part of the field "file" gets a file name, and all names UTF-8.

    Clients send names in Latin-1, empty names and none (RFC 7578, 4.2 and 5.1).
    """

    def __init__(self, body: Any, boundary: bytes) -> None:
        self._body = body
        self._start_of_part = b"--" + boundary + b"\r\n"
        self._unread = b""
        self._ready = bytearray()
        self._is_at_end = False

    def read(self, size: int) -> bytes:
        """Returns at most `size` bytes; none at the end of the body."""
        while not self._is_at_end and len(self._ready) < size:
            chunk = self._body.read(CHUNK_BYTES)
            self._is_at_end = not chunk
            self._unread += chunk
            self._repair_unread()
        result = bytes(self._ready[:size])
        del self._ready[:size]
        return result

    def _repair_unread(self) -> None:
        """Moves what has been read to `_ready`, except what may be the beginning of a part's headers."""
        while (start := self._unread.find(self._start_of_part)) >= 0:
            start += len(self._start_of_part)
            end = self._unread.find(END_OF_HEADERS, start)
            if end < 0 and len(self._unread) - start < MAX_HEADER_BYTES and not self._is_at_end:
                return
            if end < 0:
                break
            self._ready += self._unread[:start] + _repaired(self._unread[start:end]) + END_OF_HEADERS
            self._unread = self._unread[end + len(END_OF_HEADERS) :]
        kept = 0 if self._is_at_end else len(self._start_of_part) - 1
        moved = max(0, len(self._unread) - kept)
        self._ready += self._unread[:moved]
        self._unread = self._unread[moved:]


def _repaired(headers: bytes) -> bytes:
    return b"\r\n".join(
        _repaired_line(line) if line.lower().startswith(b"content-disposition:") else line
        for line in headers.split(b"\r\n")
    )


def _repaired_line(line: bytes) -> bytes:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        text = line.decode("latin-1")
    try:
        _, parameters = parse_header_parameters(text)
    except ValueError:
        return line
    is_named = re.split(r"[/\\]", parameters.get("filename", ""))[-1].strip() not in ("", ".", "..")
    if parameters.get("name") == FILE_FIELD and not is_named:
        text = f'Content-Disposition: form-data; name="{FILE_FIELD}"; filename="{UNNAMED}"'
    return text.encode()

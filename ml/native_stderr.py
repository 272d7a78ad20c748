"""Suppresses what native libraries print to standard error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def suppress_native_stderr() -> Iterator[None]:
    """Redirects file descriptor 2 to /dev/null within the block.

    TensorFlow and LiteRT print start-up messages from C++ before their log level can be set. Use this only
    around calls that report failures by raising exceptions: their messages would be lost otherwise.
    """
    saved = os.dup(2)
    devnull = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(devnull, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(devnull)

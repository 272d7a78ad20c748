"""Keeps native libraries from writing to standard error while they load; for the command line."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Sends file descriptor 2 nowhere. Only around calls whose failures raise exceptions.

    TensorFlow and LiteRT greet from C++ before anything could tell them not to.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

"""Reads one file as ml.reader does, in a fork with its limits, and says what that took."""

from __future__ import annotations

import json
import os
import re
import signal
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from ml.image_limits import MAX_PIXELS, MIN_SIDE
from ml.images import ImageRefused, read_image
from ml.reader import TOO_MUCH_MEMORY, limit_process, start_clock

# What is not allowed to happen: another exception, or pixels out of bounds.
WRONG = "wrong"


@dataclass(frozen=True)
class Outcome:
    """kind: "read", "refused", "crashed" (the decoder ended its process), "too slow" or "wrong".

    said: the sentence of a refusal, or the details.
    """

    kind: str
    said: str
    cpu_seconds: float
    memory_mb: float


def watch(content: bytes) -> Outcome:
    inlet, outlet = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(inlet)
        _read(content, outlet)
    os.close(outlet)
    with os.fdopen(inlet, "rb") as pipe:
        told = pipe.read()
    _, status, used = os.wait4(child, 0)
    kind, said = json.loads(told) if told else _end(status)
    return Outcome(kind, said, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _end(status: int) -> tuple[str, str]:
    if not os.WIFSIGNALED(status):
        return WRONG, f"exit code {os.WEXITSTATUS(status)}"
    name = signal.Signals(os.WTERMSIG(status)).name
    return ("too slow" if name in ("SIGPROF", "SIGALRM") else "crashed"), name


def _read(content: bytes, outlet: int) -> NoReturn:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    limit_process()
    start_clock()
    outcome = _outcome(content)
    os.write(outlet, json.dumps(outcome).encode())
    os._exit(0)


def _outcome(content: bytes) -> tuple[str, str]:
    try:
        pixels = read_image(content).pixels
    except ImageRefused as refused:
        said = str(refused)
        return ("refused" if is_one_sentence(said) else WRONG), said
    except MemoryError:
        return "refused", TOO_MUCH_MEMORY
    except BaseException as error:
        return WRONG, repr(error)[:500]
    height, width, *colours = pixels.shape
    is_fine = (
        pixels.dtype == np.uint8
        and min(height, width) >= MIN_SIDE
        and height * width <= MAX_PIXELS
        and colours in ([], [3])
    )
    return ("read" if is_fine else WRONG), f"{pixels.dtype} {pixels.shape}"


def is_one_sentence(said: str) -> bool:
    return bool(re.fullmatch(r"[A-Z][ -~]{10,180}\.", said)) and not re.search(r"[.!?] [A-Z]", said)

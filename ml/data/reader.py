"""The process that reads untrusted pictures. ml.data.quarantine starts it as `python -m ml.data.reader`.

It loads the decoders once and then forks for each file: whatever a hostile file breaks, takes or leaves behind
in memory ends with that file, and the next one starts clean.

It is asked for one file after another on standard input, ASK and then the file, and answers on standard output
with a line of JSON and then the pixels. Where a decoder dies, it ends as that one did.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import struct
import sys
from pathlib import Path
from typing import NoReturn

import gdcm
import numpy as np
import openjpeg
from pydicom.pixels import decoders

from ml.data import dicom
from ml.data.image_limits import CRASHES, TOO_MUCH_MEMORY, ImageRefused
from ml.data.images import DecodedImage, read_image

ASK = struct.Struct("<Q")
# The largest pictures take some 10 seconds and 1.3 GB; docs/file-intake.md has the figures.
MAX_CPU_SECONDS = 30
MAX_SECONDS = 120
MAX_ADDRESS_BYTES = 2 * 1024**3
LOADED = (gdcm, openjpeg, decoders, dicom)


def main() -> None:
    limit_process()
    gc.freeze()
    while ask := os.read(0, ASK.size):
        end = read_in_fork(ASK.unpack(ask)[0])
        if end != 0:
            os._exit(end)


def limit_process() -> None:
    """Nothing can be written to a disk: no file, and no core dump, which would hold the picture."""
    # Where memory runs short, the system ends this process before any other.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, most in (
        (resource.RLIMIT_AS, MAX_ADDRESS_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def read_in_fork(length: int) -> int:
    """Returns 0 when the file was answered, else the exit code: 128 and the signal, as shells have it."""
    child = os.fork()
    if child == 0:
        _answer(length)
    _, status = os.waitpid(child, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def start_clock() -> None:
    """Left to their default, these signals end a process even in the middle of a decoder."""
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_SECONDS)
    signal.alarm(MAX_SECONDS)


def _answer(length: int) -> NoReturn:
    start_clock()
    output = sys.stdout.buffer
    answer = _read(sys.stdin.buffer.read(length))
    if isinstance(answer, str):
        output.write(json.dumps({"refused": answer}).encode() + b"\n")
    else:
        pixels = np.ascontiguousarray(answer.pixels)
        output.write(json.dumps({"format": answer.format, "shape": pixels.shape}).encode() + b"\n")
        output.write(pixels.data)
    output.flush()
    os._exit(0)


def _read(content: bytes) -> DecodedImage | str:
    """Returns the picture, or why it is refused."""
    try:
        return read_image(content)
    except ImageRefused as refused:
        return str(refused)
    except MemoryError:
        return TOO_MUCH_MEMORY
    # Whatever else comes out of a library, such as a panic of one that is written in Rust.
    except BaseException:
        return CRASHES


if __name__ == "__main__":
    main()

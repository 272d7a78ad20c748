"""The process that reads pictures which nobody vouches for. ml.quarantine starts it, as `python -m ml.reader`.

It loads the decoders once and then forks for each file: whatever a hostile file breaks, takes or leaves behind
in memory ends with that file, and the next one starts clean.

It is asked for one file after another on standard input, ASK and then the file, and answers on standard output
with a line of JSON and then the pixels. Where a decoder dies, it ends as that one did.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import struct
import sys
from typing import NoReturn

# Loaded before the first fork, so that no file waits for them.
import gdcm
import numpy as np
import openjpeg
from pydicom.pixels import decoders

from ml import dicom
from ml.images import ImageRefused, read_image

ASK = struct.Struct("<Q")
# The largest pictures take 10 seconds and 1.2 GB; docs/file-intake.md has the figures.
MAX_CPU_SECONDS = 30
MAX_SECONDS = 120
MAX_ADDRESS_BYTES = 1536 * 1024**2
TOO_MUCH_MEMORY = "The file needs more memory than a real picture does."
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
    try:
        image = read_image(sys.stdin.buffer.read(length))
    except (ImageRefused, MemoryError) as error:
        reason = str(error) if isinstance(error, ImageRefused) else TOO_MUCH_MEMORY
        output.write(json.dumps({"refused": reason}).encode() + b"\n")
    else:
        output.write(json.dumps({"format": image.format, "shape": image.pixels.shape}).encode() + b"\n")
        output.write(np.ascontiguousarray(image.pixels).data)
    output.flush()
    os._exit(0)


if __name__ == "__main__":
    main()

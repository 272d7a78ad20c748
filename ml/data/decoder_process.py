"""The decoder process: reads untrusted images in a fork for each file.

`ml.data.sandbox` starts it as `python -m ml.data.decoder_process`. The process loads the decoders once and forks
for each file, so that a malicious file affects only its own fork. It reads requests from standard input, each a
REQUEST_HEADER followed by the file, and answers on standard output with one line of JSON followed by the pixels.
When a fork is killed by a signal, the process exits with the same code.
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
from ml.data.burned_in_text import shows_text
from ml.data.image_limits import CRASHES, TOO_MUCH_MEMORY, ImageRefused
from ml.data.images import DecodedImage, read_image

# The length of the file in bytes, and whether to search the image for text.
REQUEST_HEADER = struct.Struct("<Q?")
# The largest images take about 10 seconds and 1.3 GB; docs/file-intake.md has the measurements.
MAX_CPU_SECONDS = 30
MAX_SECONDS = 120
MAX_ADDRESS_BYTES = 2 * 1024**3
# Imported before the first fork, so that no fork has to load them.
PRELOADED = (gdcm, openjpeg, decoders, dicom)


def main() -> None:
    """Answers requests until standard input is closed."""
    apply_resource_limits()
    gc.freeze()
    while header := os.read(0, REQUEST_HEADER.size):
        exit_code = decode_in_fork(*REQUEST_HEADER.unpack(header))
        if exit_code != 0:
            os._exit(exit_code)


def apply_resource_limits() -> None:
    """Limits memory and forbids writing files, including core dumps, which would contain the image."""
    # When memory runs out, the kernel kills this process before any other.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for kind, limit in (
        (resource.RLIMIT_AS, MAX_ADDRESS_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


def decode_in_fork(length: int, finds_text: bool) -> int:
    """Reads one file of `length` bytes from standard input in a fork.

    Returns:
        0 if the fork answered; otherwise its exit code, 128 plus the number of a signal as in shells.
    """
    child = os.fork()
    if child == 0:
        _answer(length, finds_text)
    _, status = os.waitpid(child, 0)
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def start_timeout() -> None:
    """Starts the timers that end this process.

    The signals keep their default action, which also ends a process in the middle of native code.
    """
    signal.setitimer(signal.ITIMER_PROF, MAX_CPU_SECONDS)
    signal.alarm(MAX_SECONDS)


def _answer(length: int, finds_text: bool) -> NoReturn:
    start_timeout()
    output = sys.stdout.buffer
    answer = _read(sys.stdin.buffer.read(length))
    if isinstance(answer, str):
        output.write(json.dumps({"refused": answer}).encode() + b"\n")
    else:
        pixels = np.ascontiguousarray(answer.pixels)
        has_text = finds_text and shows_text(pixels)
        found = {
            "format": answer.format,
            "shape": pixels.shape,
            "shows_text": has_text,
            "patient_digest": answer.patient_digest,
            "study_digest": answer.study_digest,
        }
        output.write(json.dumps(found).encode() + b"\n")
        output.write(pixels.data)
    output.flush()
    os._exit(0)


def _read(content: bytes) -> DecodedImage | str:
    """Returns the image, or the reason for refusing it."""
    try:
        return read_image(content)
    except ImageRefused as refused:
        return str(refused)
    except MemoryError:
        return TOO_MUCH_MEMORY
    # A library may raise anything; a panic in Rust code is not even an Exception.
    except BaseException:
        return CRASHES


if __name__ == "__main__":
    main()

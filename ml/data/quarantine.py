"""Reads pictures that nobody vouches for, in a process that they may crash.

Decoders are large C libraries. A file made to break one ends the process it is read in, or takes its memory, or
keeps it busy; here that process is ml.data.reader, which holds no secret, writes nothing, and has limits.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from threading import BoundedSemaphore
from typing import IO, BinaryIO, cast

import numpy as np

from ml.data.image_limits import CRASHES, TOO_SLOW, ImageRefused
from ml.data.images import DecodedImage, open_source

# How many files one process has read at once, and so how many readers it may have.
MOST_READERS = 2
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "ml.data.reader"]
# A reader is told no more of its surroundings: no key, no password, no address of a database.
PASSED_ON = ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
OUT_OF_TIME = (signal.SIGPROF, signal.SIGALRM)
# By the system, when its memory is full, or by a person: the file need not be the reason.
KILLED = (signal.SIGKILL, signal.SIGTERM)
Reader = subprocess.Popen[bytes]


class _Ended(Exception):
    """The reader is gone, by the signal of this number, or by itself (0)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.number = -code if code < 0 else max(0, code - 128)


_free = BoundedSemaphore(MOST_READERS)
_idle: list[Reader] = []


def _start_anew() -> None:
    """A forked process would talk to its parent's readers, and wait for its parent's threads."""
    global _free
    _free = BoundedSemaphore(MOST_READERS)
    _idle.clear()


os.register_at_fork(after_in_child=_start_anew)


@atexit.register
def end_idle_readers() -> None:
    """They would end by themselves, when their input does."""
    while _idle:
        _end(_idle.pop())


def read_image(source: Path | bytes | BinaryIO) -> DecodedImage:
    """Reads a picture as ml.data.images.read_image does, whatever the file does to its decoder.

    Raises:
        ImageRefused: the file cannot be used; str(error) says why in one sentence.
        OSError: the path cannot be opened or read.
    """
    with _free, open_source(source) as file:
        try:
            return _read(file)
        except _Ended as ended:
            if ended.number not in KILLED:
                raise _refusal(ended) from None
        try:
            return _read(file)
        except _Ended as ended:
            raise _refusal(ended) from None


def _refusal(ended: _Ended) -> Exception:
    if ended.number in KILLED:
        return ImageRefused("The server ran out of memory while it read the file; please try again later.")
    if ended.number in OUT_OF_TIME:
        return ImageRefused(TOO_SLOW)
    if ended.number:
        return ImageRefused(CRASHES)
    return RuntimeError("ml.data.reader does not work here. Run `python -m ml.data.reader` to see why.")


def _read(file: BinaryIO) -> DecodedImage:
    reader = _take()
    try:
        _ask(reader, file)
        image = _hear(reader)
    except ImageRefused:
        _idle.append(reader)
        raise
    except BaseException:
        _end(reader)
        raise
    _idle.append(reader)
    return image


def _take() -> Reader:
    """An idle reader that lives, else a new one."""
    while _idle:
        with contextlib.suppress(IndexError):  # Another thread was faster.
            reader = _idle.pop()
            if reader.poll() is None:
                return reader
            _end(reader)
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={name: os.environ[name] for name in PASSED_ON if name in os.environ}
        | {"OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # What libraries print could quote the file, and would land in the log.
        stderr=subprocess.DEVNULL,
    )


def _ask(reader: Reader, file: BinaryIO) -> None:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    stdin = cast(IO[bytes], reader.stdin)
    try:
        stdin.write(length.to_bytes(8, "little"))
        shutil.copyfileobj(file, stdin, 1024**2)
        stdin.flush()
    except BrokenPipeError:
        raise _Ended(reader.wait()) from None


def _hear(reader: Reader) -> DecodedImage:
    stdout = cast(IO[bytes], reader.stdout)
    line = stdout.readline()
    if not line:
        raise _Ended(reader.wait())
    answer = json.loads(line)
    if "refused" in answer:
        raise ImageRefused(answer["refused"])
    pixels = np.empty(answer["shape"], np.uint8)
    if cast(io.BufferedReader, stdout).readinto(pixels.reshape(-1).data) < pixels.size:
        raise _Ended(reader.wait())
    return DecodedImage(pixels, answer["format"])


def _end(reader: Reader) -> None:
    reader.kill()
    for pipe in (reader.stdin, reader.stdout):
        # What was not sent yet cannot be sent any more.
        with contextlib.suppress(BrokenPipeError):
            cast(IO[bytes], pipe).close()
    reader.wait()

"""Reads untrusted images in a separate process with limited resources."""

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

# Maximum number of decoder processes, and so of files read at once, for each process that uses this module.
MAX_PROCESSES = 2
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "ml.data.decoder_process"]
# No other environment variable is passed on: keys, passwords and database URLs stay out of the decoder process.
PASSED_ENVIRONMENT = ("LD_LIBRARY_PATH", "PATH", "PYTHONPATH")
TIMEOUT_SIGNALS = (signal.SIGPROF, signal.SIGALRM)
# Sent by the kernel when memory is full, or by an administrator: the file is not necessarily the cause.
KILL_SIGNALS = (signal.SIGKILL, signal.SIGTERM)
DecoderProcess = subprocess.Popen[bytes]


class _ProcessEnded(Exception):
    """The decoder process ended; `signal_number` is 0 if no signal ended it."""

    def __init__(self, return_code: int) -> None:
        super().__init__(return_code)
        self.signal_number = -return_code if return_code < 0 else max(0, return_code - 128)


_slots = BoundedSemaphore(MAX_PROCESSES)
_idle: list[DecoderProcess] = []


def _reset_after_fork() -> None:
    """Gives a forked process its own pool: the pipes and the held slots belong to its parent."""
    global _slots
    _slots = BoundedSemaphore(MAX_PROCESSES)
    _idle.clear()


os.register_at_fork(after_in_child=_reset_after_fork)


@atexit.register
def stop_idle_processes() -> None:
    """Stops the decoder processes that are waiting for a file."""
    while _idle:
        _stop(_idle.pop())


def read_image(source: Path | bytes | BinaryIO, find_text: bool = False) -> DecodedImage:
    """Reads an image as ml.data.images.read_image does, in a decoder process.

    A malicious file can crash a decoder, exhaust its memory or keep it busy. The decoder process has limits on
    time and memory, holds no secrets and cannot write files, so such a file affects nothing else.

    Args:
        source: A path, the content of a file, or a seekable binary file, which is read from its start.
        find_text: Whether to search the image for text, which takes as long as reading a small image.

    Returns:
        The upright 8-bit image; with find_text, its shows_text says whether text is drawn into it.

    Raises:
        ImageRefused: The file cannot be used; str(error) is one sentence for the user.
        OSError: The path cannot be opened or read.
        RuntimeError: The decoder process cannot start.
    """
    with _slots, open_source(source) as file:
        try:
            return _read(file, find_text)
        except _ProcessEnded as ended:
            if ended.signal_number not in KILL_SIGNALS:
                raise _refusal(ended) from None
        # The process may have been killed for the memory that other processes use.
        try:
            return _read(file, find_text)
        except _ProcessEnded as ended:
            raise _refusal(ended) from None


def _refusal(ended: _ProcessEnded) -> Exception:
    if ended.signal_number in KILL_SIGNALS:
        return ImageRefused("The server ran out of memory while reading the file. Please try again later.")
    if ended.signal_number in TIMEOUT_SIGNALS:
        return ImageRefused(TOO_SLOW)
    if ended.signal_number:
        return ImageRefused(CRASHES)
    return RuntimeError(
        "The decoder process cannot start. Run `python -m ml.data.decoder_process` to see the reason."
    )


def _read(file: BinaryIO, find_text: bool) -> DecodedImage:
    process = _take_process()
    try:
        _send(process, file, find_text)
        image = _receive(process)
    except ImageRefused:
        _idle.append(process)
        raise
    except BaseException:
        _stop(process)
        raise
    _idle.append(process)
    return image


def _take_process() -> DecoderProcess:
    """Returns an idle process that is still running, or starts a new one."""
    while _idle:
        with contextlib.suppress(IndexError):  # Another thread took the last one.
            process = _idle.pop()
            if process.poll() is None:
                return process
            _stop(process)
    return subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env={name: os.environ[name] for name in PASSED_ENVIRONMENT if name in os.environ}
        | {"OPENBLAS_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Messages of the libraries may quote the file and must not reach the log.
        stderr=subprocess.DEVNULL,
    )


def _send(process: DecoderProcess, file: BinaryIO, find_text: bool) -> None:
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    stdin = cast(IO[bytes], process.stdin)
    try:
        stdin.write(length.to_bytes(8, "little") + bytes([find_text]))
        shutil.copyfileobj(file, stdin, 1024**2)
        stdin.flush()
    except BrokenPipeError:
        raise _ProcessEnded(process.wait()) from None


def _receive(process: DecoderProcess) -> DecodedImage:
    stdout = cast(IO[bytes], process.stdout)
    line = stdout.readline()
    if not line:
        raise _ProcessEnded(process.wait())
    answer = json.loads(line)
    if "refused" in answer:
        raise ImageRefused(answer["refused"])
    pixels = np.empty(answer.pop("shape"), np.uint8)
    if cast(io.BufferedReader, stdout).readinto(pixels.reshape(-1).data) < pixels.size:
        raise _ProcessEnded(process.wait())
    return DecodedImage(pixels, **answer)


def _stop(process: DecoderProcess) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        # Closing the pipe flushes its buffer, which fails if the process has ended.
        with contextlib.suppress(BrokenPipeError):
            cast(IO[bytes], pipe).close()
    process.wait()

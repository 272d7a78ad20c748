"""Runs `python -m ml ...` as a child process and reads its events.

TensorFlow breaks when a Celery worker forks, needs gigabytes of memory and may crash. A child process can be monitored
and killed, and its memory is freed when it ends.
"""

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from django.conf import settings

from classifier.core.child_process import die_with_parent

LOG_LINES = 200
MAX_LINE = 64 * 1024
STOP_SECONDS = 2.0


class WorkFolderBusy(Exception):
    """Another process uses this work folder and could not be stopped."""


class CommandFailed(Exception):
    """The command ended with an error message for the user. The same input would fail again."""


class CommandCrashed(Exception):
    """The command was killed or crashed. Another attempt may succeed."""


class MlProcess:
    """A child process that runs `python -m ml` with the given arguments in a locked work folder.

    Usage: `with MlProcess([...], work=folder) as process: for event in process.events(): ...`

    Leaving the block kills the child if it is still running. The folder is locked while the child runs, so that the
    next attempt cannot use it at the same time.
    """

    def __init__(self, arguments: list[str | Path], *, work: Path) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.work = work
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        # Standard output without the events, such as a result.
        self.output = ""

    def __enter__(self) -> Self:
        lock = _lock(self.work)
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "ml", *self.arguments],
                cwd=settings.BASE_DIR,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=[lock.fileno()],
                start_new_session=True,
                preexec_fn=die_with_parent(signal.SIGKILL),
            )
            lock.truncate(0)
            lock.write(str(self._child.pid))
        finally:
            lock.close()  # The child and its descendants hold the lock from here on.
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe:
                pipe.close()

    @property
    def pid(self) -> int:
        """Returns the process id of the child."""
        return self._child.pid

    def events(self, tick_seconds: float = 0.5) -> Iterator[dict[str, Any] | None]:
        """Yields each event (one JSON object per line), and None when none arrived within `tick_seconds`.

        Raises:
            CommandFailed: the command ended with an error message, which is its last line on standard error.
            CommandCrashed: the command was killed or crashed.
        """
        stdout, stderr = self._child.stdout, self._child.stderr
        assert stdout is not None and stderr is not None  # noqa: S101 - made as pipes above
        unfinished = {stdout: b"", stderr: b""}
        with selectors.DefaultSelector() as selector:
            for pipe in unfinished:
                selector.register(pipe, selectors.EVENT_READ)
            last_yield = time.monotonic()
            while selector.get_map():
                for key, _ in selector.select(tick_seconds):
                    ready: Any = key.fileobj
                    chunk = os.read(ready.fileno(), MAX_LINE)
                    if not chunk:
                        selector.unregister(ready)
                        chunk = b"\n" if unfinished[ready] else b""
                    *lines, rest = (unfinished[ready] + chunk).split(b"\n")
                    unfinished[ready] = rest[-MAX_LINE:]
                    for event in self._take(lines, is_output=ready is stdout):
                        last_yield = time.monotonic()
                        yield event
                if time.monotonic() - last_yield >= tick_seconds:
                    last_yield = time.monotonic()
                    yield None
        self._check_end()

    def _take(self, lines: list[bytes], *, is_output: bool) -> Iterator[dict[str, Any]]:
        for raw in lines:
            line = raw.decode(errors="replace").rstrip()
            if is_output:
                event = _parse(line)
                if event is not None:
                    yield event
                    continue
                self.output += line + "\n"
            elif line:
                self.log.append(line)

    def _check_end(self) -> None:
        code = self._child.wait()
        if code == 0:
            return
        last_line = self.log[-1] if self.log else ""
        # Codes 1 and 2 with a message are refusals. A traceback, a signal or a lack of memory is a crash.
        if code in (1, 2) and last_line and not any(line.startswith("Traceback") for line in self.log):
            raise CommandFailed(last_line)
        raise CommandCrashed(f"python -m ml {self.arguments[0]} ended with code {code}. {last_line}".strip())


def read_json(text: str) -> Any:
    """Parses the JSON output of a command.

    NaN and infinity, which a diverged training produces, become None, because databases reject them in JSON.
    """
    return json.loads(text, parse_constant=lambda name: None)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = read_json(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "phase" in event else None


def _lock(work: Path) -> IO[str]:
    """Locks the work folder and returns the lock file, which contains the process group of its holder.

    The caller has claimed the work, so a process group left over from an earlier attempt is killed.

    Raises:
        WorkFolderBusy: the holder of the lock did not end in time.
    """
    work.mkdir(parents=True, exist_ok=True)
    lock = (work / "lock").open("a+")
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise WorkFolderBusy(f"Another process still works in {work}.") from None
            _kill_group(work / "lock")
            time.sleep(0.05)
        else:
            return lock


def _kill_group(lock: Path) -> None:
    with contextlib.suppress(ValueError, ProcessLookupError, PermissionError):
        os.killpg(int(lock.read_text()), signal.SIGKILL)

"""`python -m ml ...` as a child process: its events as they come, and its end when ours comes.

TensorFlow does not survive the fork that a Celery worker makes, takes gigabytes, and may crash; a child of its
own can be watched, killed, and leaves nothing behind.
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
    """Another process works in this folder, and does not end."""


class CommandFailed(Exception):
    """The command ended by itself with a sentence for the person: the same input would fail again."""


class CommandDied(Exception):
    """The command was killed or crashed; it may do better the next time."""


class MlProcess:
    """`with MlProcess([...], work=folder) as process: for event in process.events(): ...`

    Leaving the block kills the child if it still runs. The folder is locked while the child lives, so that a
    successor never works in it at the same time.
    """

    def __init__(self, arguments: list[str | Path], *, work: Path) -> None:
        self.arguments = [str(argument) for argument in arguments]
        self.work = work
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        # What it wrote to standard output besides events, such as a result.
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
            lock.close()  # The child and its children hold it from here on.
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
        return self._child.pid

    def events(self, tick_seconds: float = 0.5) -> Iterator[dict[str, Any] | None]:
        """Each event (a JSON object a line) as it comes, and None when nothing came for a tick.

        Raises:
            CommandFailed: it ended with an error of its own; the last line it said is the sentence.
            CommandDied: it was killed, or crashed.
        """
        stdout, stderr = self._child.stdout, self._child.stderr
        assert stdout is not None and stderr is not None  # noqa: S101 - made as pipes above
        unfinished = {stdout: b"", stderr: b""}
        with selectors.DefaultSelector() as selector:
            for pipe in unfinished:
                selector.register(pipe, selectors.EVENT_READ)
            told = time.monotonic()
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
                        told = time.monotonic()
                        yield event
                if time.monotonic() - told >= tick_seconds:
                    told = time.monotonic()
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
        said = self.log[-1] if self.log else ""
        # 1 and 2 with a sentence are refusals; a traceback, a signal or a lack of memory is not.
        if code in (1, 2) and said and not any(line.startswith("Traceback") for line in self.log):
            raise CommandFailed(said)
        raise CommandDied(f"python -m ml {self.arguments[0]} ended with code {code}. {said}".strip())


def read_json(text: str) -> Any:
    """What a command wrote. A figure that is no number, as of a training that diverged, is None: no database
    takes it."""
    return json.loads(text, parse_constant=lambda name: None)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        event = read_json(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "phase" in event else None


def _lock(work: Path) -> IO[str]:
    """The folder's lock, whose file names the process group that holds it.

    Who asks has claimed the work, so what a killed predecessor left running in the folder has to end.
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

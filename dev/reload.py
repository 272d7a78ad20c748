"""Runs a command of manage.py and restarts it when code or a template changes: python -m dev.reload worker predict."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from classifier.core.child_process import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("ml", "classifier", "portal", "templates")
SUFFIXES = (".py", ".html", ".txt", ".svg")
LOOK_SECONDS = 1.0
STOP_SECONDS = 3.0
# A command that ended by itself, for example at a syntax error, is tried again after this time without a change.
RETRY_SECONDS = 10.0


def main(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    while True:
        before = modification_times()
        process = start(arguments)
        try:
            while process.poll() is None and modification_times() == before:
                time.sleep(LOOK_SECONDS)
            retry_at = time.monotonic() + RETRY_SECONDS
            while process.poll() is not None and modification_times() == before:
                if time.monotonic() > retry_at:
                    break
                time.sleep(LOOK_SECONDS)
        finally:
            stop(process)
        print(f"Restarting {' '.join(arguments)}.", flush=True)


def modification_times() -> dict[Path, int]:
    files = (path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES)
    return {path: path.stat().st_mtime_ns for path in files if path.exists()}


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        start_new_session=True,
        preexec_fn=die_with_parent(signal.SIGTERM),
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the command and the processes that it started. What a worker was at is taken up again."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    main(sys.argv[1:])

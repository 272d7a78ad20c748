"""`python -m ml` as a child: its events, its end, and what a killed predecessor left running."""

import io
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from classifier.core.ml_process import CommandCrashed, CommandFailed, MlProcess, read_json
from tests.data_sets import draw_zip
from tests.servers import wait_until


@pytest.fixture
def audit(tmp_path: Path) -> list[str | Path]:
    """A command that takes seconds and tells how far it is."""
    with zipfile.ZipFile(io.BytesIO(draw_zip(4))) as archive:
        archive.extractall(tmp_path / "images")
    return ["audit", tmp_path / "images", "--out", tmp_path / "out", "--jsonl"]


def is_running(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


def test_events_come_as_they_happen_and_ticks_when_nothing_does(
    audit: list[str | Path], tmp_path: Path
) -> None:
    with MlProcess(audit, work=tmp_path / "work") as process:
        received: list[dict[str, Any] | None] = list(process.events(tick_seconds=0.01))

    events = [event for event in received if event]
    assert {"read", "compare"} <= {event["phase"] for event in events}
    assert None in received
    assert (tmp_path / "out" / "manifest.csv").exists()


def test_what_a_command_refuses_is_its_own_sentence(tmp_path: Path) -> None:
    command = ["audit", tmp_path / "nowhere", "--out", tmp_path / "out"]
    with MlProcess(command, work=tmp_path) as process, pytest.raises(CommandFailed) as failed:
        list(process.events())
    assert str(failed.value) == f"The folder {tmp_path / 'nowhere'} does not exist."


def test_a_command_that_is_killed_did_not_refuse(audit: list[str | Path], tmp_path: Path) -> None:
    with MlProcess(audit, work=tmp_path / "work") as process:
        events = process.events()
        next(events)
        os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(CommandCrashed, match="ended with code -9"):
            list(events)


def test_leaving_early_ends_the_command(audit: list[str | Path], tmp_path: Path) -> None:
    with MlProcess(audit, work=tmp_path / "work") as process:
        next(process.events())
        assert is_running(process.pid)
    assert not is_running(process.pid)


def test_what_a_killed_predecessor_left_running_in_the_folder_is_ended(
    audit: list[str | Path], tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    code = (
        "import fcntl, os, sys, time; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX);"
        "lock.write(str(os.getpid())); lock.flush(); print('locked', flush=True); time.sleep(600)"
    )
    left = subprocess.Popen(
        [sys.executable, "-c", code, str(work / "lock")], stdout=subprocess.PIPE, start_new_session=True
    )
    with left:
        assert left.stdout is not None
        left.stdout.readline()
        with MlProcess(audit, work=work) as process:
            next(process.events())
        assert left.wait(5) == -signal.SIGKILL


def test_a_command_dies_with_the_process_that_started_it(audit: list[str | Path], tmp_path: Path) -> None:
    started = tmp_path / "pid"
    code = (
        "import sys, django; django.setup(); from pathlib import Path;"
        "from classifier.core.ml_process import MlProcess;"
        "process = MlProcess(sys.argv[3:], work=Path(sys.argv[1])).__enter__();"
        "Path(sys.argv[2]).write_text(str(process.pid)); list(process.events())"
    )
    arguments = [str(argument) for argument in audit]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "work"), str(started), *arguments], env=environment
    )
    wait_until(lambda: started.exists() and started.read_text(), what="the command to start")
    child = int(started.read_text())
    assert is_running(child)

    parent.kill()
    parent.wait()

    wait_until(lambda: not is_running(child), what="the command to die too", seconds=5)


def test_a_figure_that_is_no_number_is_none() -> None:
    assert read_json('{"loss": NaN, "best": Infinity, "epoch": 1}') == {
        "loss": None,
        "best": None,
        "epoch": 1,
    }

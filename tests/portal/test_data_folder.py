"""Other users of the host cannot read the data folder, and a folder that cannot be used is named in one sentence."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, SECRET_KEY, Portal


def run(command: str, portal: Portal, *, umask: int = 0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", command],
        cwd=ROOT,
        env=portal.environment,
        capture_output=True,
        text=True,
        umask=umask,
        check=False,
    )


def readable_by_others(folder: Path) -> list[str]:
    return [str(path) for path in (folder, *folder.rglob("*")) if path.stat().st_mode & 0o077]


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Portal]:
    portal = Portal(tmp_path / "var")
    del portal.environment["SECRET_KEY"]
    yield portal
    portal.stop()


def test_everything_in_it_is_private_whatever_the_umask(portal: Portal) -> None:
    assert run("prepare", portal, umask=0).returncode == 0
    assert {"callus.sqlite3", "secret_key", "files"} <= {path.name for path in portal.data_dir.iterdir()}
    assert readable_by_others(portal.data_dir) == []


def test_a_start_narrows_a_folder_that_others_can_read_and_says_so_once(portal: Portal) -> None:
    portal.prepare()
    outside = portal.data_dir.with_name("outside")
    outside.touch(0o644)
    (portal.data_dir / "link").symlink_to(outside)
    for path in (portal.data_dir, *portal.data_dir.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    first, second = run("check", portal), run("check", portal)
    assert (first.returncode, second.returncode) == (0, 0)
    assert f"could read the data folder {portal.data_dir}. It is now private." in first.stderr
    assert "could read" not in second.stderr
    (portal.data_dir / "link").unlink()
    assert readable_by_others(portal.data_dir) == []
    assert outside.stat().st_mode & 0o777 == 0o644


def test_what_a_running_portal_writes_is_private(portal: Portal) -> None:
    portal.environment["SECRET_KEY"] = SECRET_KEY
    before = os.umask(0)
    try:
        portal.start_up()
        portal.add_users("alice")
        Client(portal.url, "alice").upload(png(draw_bone()))
    finally:
        os.umask(before)
    mine = [path for path in readable_by_others(portal.data_dir) if "console.log" not in path]
    assert list(portal.data_dir.glob("files/radiographs/*/*.png"))
    assert mine == []


@pytest.mark.parametrize("command", ["prepare", "up", "web", "check"])
def test_a_folder_that_cannot_be_used_is_named_in_one_sentence(portal: Portal, command: str) -> None:
    portal.data_dir.write_text("a file")
    done = run(command, portal)
    assert done.returncode != 0
    assert done.stderr.splitlines() == [
        f"Callus does not start: The data folder {portal.data_dir} cannot be created: File exists."
    ]


@pytest.mark.skipif(shutil.which("setpriv") is None or os.getuid() != 0, reason="needs root and setpriv")
def test_a_folder_of_another_user_is_named_in_one_sentence(portal: Portal) -> None:
    portal.data_dir.mkdir(mode=0o755)
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "manage.py", "prepare"],
        cwd=ROOT,
        env=portal.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Callus does not start: The data folder" in done.stderr.splitlines()[-1]

"""A database that is damaged or away: one sentence, and nothing is made worse."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.servers import ROOT, Portal


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def overwrite(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 3)
        file.write(os.urandom(size // 3))


def replace(path: Path) -> None:
    path.write_bytes(os.urandom(100_000))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (cut_off, "database disk image is malformed"),
        (overwrite, "database disk image is malformed"),
        (replace, "file is not a database"),
    ],
)
@pytest.mark.parametrize("command", [["up"], ["backup", "copy.zip"]])
def test_a_damaged_database_is_named_in_one_sentence(
    tmp_path: Path, damage: Callable[[Path], None], reason: str, command: list[str]
) -> None:
    portal = Portal(tmp_path / "var")
    portal.data_dir.mkdir()
    portal.copy_prepared()
    database = portal.data_dir / "callus.sqlite3"
    damage(database)
    before = database.read_bytes()

    done = run(portal, *command, *(["--bind", f"127.0.0.1:{portal.port}"] if command == ["up"] else []))

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"Callus cannot use its database ({database}): {reason}. "
        "docs/operation.md says how to restore a backup. Nothing was changed."
    )
    assert "Traceback" not in done.stderr
    assert database.read_bytes() == before


def overwrite_all_but_first_page(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(size - 4096))


@pytest.mark.parametrize("damage", [overwrite_all_but_first_page, replace])
def test_a_portal_whose_database_is_damaged_while_it_serves_says_so(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    portal = Portal(tmp_path / "var")
    portal.prepare()
    try:
        portal.start("web", "web", "--bind", f"127.0.0.1:{portal.port}")
        portal.wait_until_live()
        damage(portal.data_dir / "callus.sqlite3")
        http = urllib3.PoolManager(retries=False, timeout=30)
        for path in ("/", "/nothing-here", "/admin/", "/radiographs/", "/metrics"):
            answer = http.request("GET", portal.url + path, headers={"Cookie": "sessionid=" + "a" * 32})
            assert (path, answer.status) == (path, 503)
            assert "The database cannot be reached right now." in answer.data.decode()
            assert answer.headers["Retry-After"] == "60"
        credentials = {"username": "alice", "password": "x"}
        refused = http.request("POST", f"{portal.url}/api/v1/tokens/", json=credentials)
        assert refused.status == 503
        assert refused.json()["detail"].startswith("The database cannot be reached right now.")
        ready = http.request("GET", f"{portal.url}/readyz?part=database")
        assert (ready.status, ready.json()["parts"]) == (503, {"database": "failing"})
    finally:
        portal.stop()


def test_a_database_that_is_away_is_named_without_its_password(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "var", {"DATABASE_URL": "postgres://callus:hunter2@127.0.0.1:1/callus"})
    done = run(portal, "prepare")
    assert done.returncode == 1
    assert "Callus cannot use its database (127.0.0.1): connection failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stderr


def run(portal: Portal, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=portal.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

"""`manage.py up`, the way a laptop user meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.servers import ROOT, Portal, running_portal, wait_until


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    return Portal(tmp_path / "var")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One for the tests that leave it running."""
    with running_portal(tmp_path_factory.mktemp("up") / "var") as portal:
        yield portal


def children(portal: Portal) -> dict[str, int]:
    """The running parts by a word of their command line."""
    parts = {
        "gunicorn": "web",
        "--queues predict": "predict",
        "--queues train": "train",
        "beat --schedule": "beat",
    }
    found: dict[str, int] = {}
    up = portal.processes["up"].pid
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if parent == up:
            found.update({name: int(folder.name) for word, name in parts.items() if word in command})
    return found


def test_an_empty_portal_offers_one_link_to_make_the_first_admin(portal: Portal) -> None:
    try:
        portal.start_up(from_nothing=True)
        wait_until(lambda: "first-admin" in portal.console(), what="the link on the console")
        link = re.search(r"http://\S+/first-admin/\S+", portal.console())
        assert link
        http = urllib3.PoolManager()
        assert http.request("GET", link[0]).status == 200
        environment = {
            "DJANGO_SUPERUSER_USERNAME": "root",
            "DJANGO_SUPERUSER_PASSWORD": "correct-horse-battery",
            "DJANGO_SUPERUSER_EMAIL": "root@example.org",
        }
        portal.manage("createsuperuser", "--noinput", extra=environment)
        assert http.request("GET", link[0]).status == 404
    finally:
        portal.stop()


def test_a_portal_that_listens_everywhere_offers_the_link_too(tmp_path: Path) -> None:
    """As the container image does."""
    portal = Portal(tmp_path / "var")
    portal.environment["PUBLIC_URL"] = f"http://localhost:{portal.port}"
    try:
        portal.copy_prepared()
        portal.start("up", "up", "--bind", f"0.0.0.0:{portal.port}")
        portal.wait_until_live()
        wait_until(
            lambda: f"http://localhost:{portal.port}/first-admin/" in portal.console(),
            what="the link on the console",
        )
        assert "Host" not in portal.console()
    finally:
        portal.stop()


def test_a_part_that_dies_is_started_again_and_the_console_says_so(running: Portal) -> None:
    before = wait_until(
        lambda: found if len(found := children(running)) == 4 else None, what="all four parts"
    )
    assert isinstance(before, dict)
    os.kill(before["predict"], signal.SIGKILL)
    wait_until(lambda: "The prediction worker was killed by SIGKILL" in running.console(), what="the notice")
    wait_until(
        lambda: children(running).get("predict", before["predict"]) != before["predict"], what="a new one"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_ending_it_ends_all_its_parts(portal: Portal, number: signal.Signals) -> None:
    portal.start_up()
    parts = wait_until(lambda: found if len(found := children(portal)) == 4 else None, what="all four parts")
    assert isinstance(parts, dict)
    os.kill(portal.processes["up"].pid, number)
    started = time.monotonic()
    code = portal.processes["up"].wait(30)
    wait_until(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in parts.values()), what="all parts to end"
    )
    assert time.monotonic() - started < 20
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)


def test_a_second_one_on_the_same_folder_is_refused(running: Portal) -> None:
    second = subprocess.run(
        [sys.executable, "manage.py", "up", "--bind", "127.0.0.1:1"],
        cwd=ROOT,
        env=running.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert "Callus is already running" in second.stderr


def test_a_taken_port_is_named_and_nothing_is_started(portal: Portal) -> None:
    with socket.create_server(("127.0.0.1", portal.port)):
        done = subprocess.run(
            [sys.executable, "manage.py", "up", "--bind", f"127.0.0.1:{portal.port}"],
            cwd=ROOT,
            env=portal.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 1
    assert f"Callus cannot listen at 127.0.0.1:{portal.port}: Address already in use." in done.stderr
    assert "ready" not in done.stdout
    assert not (portal.data_dir / "callus.sqlite3").exists()


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({}, "Set PUBLIC_URL"),
        ({"PUBLIC_URL": "http://localhost:8000", "DEBUG": "1"}, "DEBUG shows internals"),
    ],
)
def test_it_does_not_bind_to_the_world_without_a_public_url_nor_with_debug(
    portal: Portal, extra: dict[str, str], sentence: str
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "up", "--bind", "0.0.0.0:8000"],
        cwd=ROOT,
        env={**portal.environment, **extra},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert sentence in done.stderr

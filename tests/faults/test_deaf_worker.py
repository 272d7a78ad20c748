"""Workers that are alive but hear nothing, after their broker was killed, flushed or paused."""

import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from celery import Celery

from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import Portal, Redis, redis_server, wait_until

QUICK = {"CALLUS_LEASE_SECONDS": "10", "CALLUS_SWEEP_SECONDS": "1", "CALLUS_CANARY_SECONDS": "2"}
DEAF = "The worker no longer receives tasks"


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def shared_portal(tmp_path_factory: pytest.TempPathFactory, redis: Redis) -> Iterator[Portal]:
    portal = Portal(tmp_path_factory.mktemp("deaf") / "var", {**QUICK, "REDIS_URL": redis.url})
    try:
        portal.start_up()
        portal.add_users("alice")
        yield portal
    finally:
        portal.stop()


@pytest.fixture
def portal(shared_portal: Portal) -> Portal:
    """One for all tests on Redis: each leaves it ready, or the next one fails."""
    wait_until(lambda: is_ready(shared_portal), what="test tasks to come through every queue")
    return shared_portal


def is_ready(portal: Portal, part: str = "") -> bool:
    query = f"?part={part.replace(' ', '%20')}" if part else ""
    try:
        with urllib.request.urlopen(f"{portal.url}/readyz{query}", timeout=10) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError:
        return False


def pool_process(portal: Portal, role: str) -> int:
    """The process of the role's worker that does the work: the child of the one that hears."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes()
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
        if f"CALLUS_DATA_DIR={portal.data_dir}".encode() in environment and f"--queues {role}" in command:
            found[int(folder.name)] = parent
    return next(pid for pid, parent in found.items() if parent in found)


def test_a_deaf_worker_is_noticed_and_started_again_and_answers_resume(portal: Portal, redis: Redis) -> None:
    before = len(portal.console())
    alice = Client(portal.url, "alice")
    control = Celery(broker=redis.url).control
    queues = control.inspect(timeout=5).active_queues()
    assert queues is not None
    worker = next(name for name in queues if name.startswith("predict@"))
    for queue in queues[worker]:
        control.cancel_consumer(queue["name"], destination=[worker])

    waiting = alice.upload(png(draw_bone(seed=1)))["prediction"]["id"]
    assert control.ping(destination=[worker], timeout=5), "it is alive"
    assert alice.wait_for_answer(waiting, seconds=90)["state"] == "succeeded"
    assert DEAF in portal.console()[before:]
    wait_until(lambda: is_ready(portal), what="the portal to be ready again")


def test_processes_killed_while_they_wait_deafen_nobody(tmp_path: Path) -> None:
    portal = Portal(tmp_path / "var", {**QUICK, "CALLUS_CANARY_SECONDS": "600"})
    try:
        portal.start_up()
        portal.add_users("alice")
        alice = Client(portal.url, "alice")
        alice.wait_for_answer(alice.upload(png(draw_bone(seed=1)))["prediction"]["id"])

        os.kill(pool_process(portal, "predict"), signal.SIGKILL)
        waiting = [alice.upload(png(draw_bone(seed=seed)))["prediction"]["id"] for seed in range(2, 6)]
        answers = [alice.wait_for_answer(prediction_id, seconds=60) for prediction_id in waiting]
        assert [answer["state"] for answer in answers] == ["succeeded"] * 4
        message = "A pool process of the worker was killed. The worker ends"
        wait_until(lambda: message in portal.console(), what="the worker to tell why it started anew")
    finally:
        portal.stop()


@pytest.mark.parametrize("fault", ["killed", "flushed", "paused"])
def test_after_a_fault_of_redis_answers_resume(portal: Portal, redis: Redis, fault: str) -> None:
    alice = Client(portal.url, "alice")
    if fault == "killed":
        redis.kill()
        wait_until(lambda: not is_ready(portal, "broker"), what="the missing broker to show")
        redis.start()
    elif fault == "flushed":
        Celery(broker=redis.url).connection_for_write().channel().client.flushall()
    else:
        redis.kill(signal.SIGSTOP)
        wait_until(lambda: not is_ready(portal, "broker"), what="the silent broker to show")
        redis.kill(signal.SIGCONT)
    answers = [alice.upload(png(draw_bone(seed=seed)))["prediction"]["id"] for seed in (1, 2, 3)]
    assert [alice.wait_for_answer(answer, seconds=90)["state"] for answer in answers] == ["succeeded"] * 3
    wait_until(lambda: is_ready(portal), what="the portal to be ready again")


def test_a_worker_busy_for_long_is_neither_dead_nor_deaf(portal: Portal, redis: Redis) -> None:
    before = len(portal.console())
    pid = pool_process(portal, "train")
    os.kill(pid, signal.SIGSTOP)  # the next test task it gets takes as long as a training
    try:
        wait_until(lambda: silence(portal) > 3 * 6 * 2, what="the test task to stay away", seconds=120)
        assert is_ready(portal, "queue train")
        assert DEAF not in portal.console()[before:]
        waiting = Celery(broker=redis.url).connection_for_write().channel().client.llen("train")
        assert waiting <= 1, "the queue fills with test tasks"
    finally:
        os.kill(pid, signal.SIGCONT)


def silence(portal: Portal) -> float:
    """Seconds since a test task last came through the train queue."""
    (done_at,) = portal.look_up("select done_at from operations_canary where queue = 'train'")
    return (datetime.now(UTC) - datetime.fromisoformat(done_at).replace(tzinfo=UTC)).total_seconds()

"""The main job on both engines: SQLite with the embedded broker, and PostgreSQL with Redis."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.client import Client, large_xray, png
from tests.ml.drawings import draw_bone
from tests.servers import Portal, postgres_server, redis_server, wait_until

# So that a dead worker's claim runs out, and the sweep comes by, while a test can wait for it.
QUICK = {"CALLUS_LEASE_SECONDS": "4", "CALLUS_SWEEP_SECONDS": "1"}


@pytest.fixture(scope="module", params=["embedded", "postgres and redis"])
def portal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One for all tests on an engine."""
    folder = tmp_path_factory.mktemp("portal")
    if request.param == "embedded":
        portal = Portal(folder / "var", QUICK)
        try:
            portal.start_up()
            yield portal
        finally:
            portal.stop()
    else:
        with postgres_server() as postgres, redis_server(folder) as redis:
            portal = Portal(folder / "var", {**QUICK, "DATABASE_URL": postgres.url, "REDIS_URL": redis.url})
            try:
                portal.start_set()
                yield portal
            finally:
                portal.stop()


def worker_pids(portal: Portal) -> list[int]:
    """The prediction worker's processes: the parent and those that do the work."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        mine = f"CALLUS_DATA_DIR={portal.data_dir}".encode() in environment
        if mine and "--queues predict" in command:
            found.append(int(folder.name))
    return found


def test_an_upload_is_answered_and_a_killed_worker_loses_nothing(portal: Portal) -> None:
    portal.add_users("ann")
    ann = Client(portal.url, "ann")

    first = ann.wait_for_answer(ann.upload(png(draw_bone(seed=1)))["prediction"]["id"])
    assert first["state"] == "succeeded"
    assert first["finding"] == "not_recognized"

    prediction_id = ann.upload(large_xray(side=7000))["prediction"]["id"]
    wait_until(lambda: ann.state(prediction_id) == "running", what="the worker to begin")
    for pid in worker_pids(portal):
        os.kill(pid, signal.SIGKILL)
    assert ann.state(prediction_id) == "running", "it was answered before the kill: make the picture larger"
    if "predict" in portal.processes:
        portal.processes["predict"].wait()
        portal.start("predict", "worker", "predict")

    answer = ann.wait_for_answer(prediction_id)
    assert answer["state"] == "succeeded"
    listed = ann.get("radiographs/")["results"]
    assert [row["prediction"]["state"] for row in listed] == ["succeeded", "succeeded"]


def test_a_user_never_sees_what_another_user_sent(portal: Portal) -> None:
    portal.add_users("alice", "bob")
    alice, bob = Client(portal.url, "alice"), Client(portal.url, "bob")
    sent = alice.upload(png(draw_bone(seed=2)))

    radiograph, prediction = f"radiographs/{sent['id']}/", f"predictions/{sent['prediction']['id']}/"
    for path in (radiograph, f"{radiograph}image/", prediction):
        assert bob.http.request("GET", f"{portal.url}/api/v1/{path}", headers=bob.headers).status == 404
    assert bob.get("radiographs/")["results"] == []

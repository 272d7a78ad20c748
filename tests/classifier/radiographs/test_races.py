"""Several worker processes with the same messages, on each database: every answer is given once."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, Portal, postgres_server

NUM_WORKERS = 3
UPLOAD = """
from django.core.management import call_command
call_command("prepare")
from classifier.core.models import User
from classifier.radiographs.models import Prediction
from classifier.radiographs.services import receive_radiograph
from tests.conftest import xray
alice = User.objects.create_user("alice")
for seed in range(12):
    receive_radiograph(owner=alice, upload=xray(seed=seed))
"""
# All workers get ready, wait for the starting shot, and then run for the same rows in the same order.
WORK = """
import sys, time
from pathlib import Path
import django
django.setup()
from classifier.radiographs.jobs import answer_claimed, run_next_prediction
from classifier.radiographs.models import Prediction
ids = list(Prediction.objects.order_by("id").values_list("id", flat=True))
print("ready", flush=True)
sys.stdin.readline()
for prediction_id in ids:
    if sys.argv[1] == "by turn":
        run_next_prediction()
    elif claimed := Prediction.objects.select_related("radiograph").claim(prediction_id):
        answer_claimed(claimed)
"""
LOOK = """
import json
from classifier.radiographs.models import Prediction
print(json.dumps(list(Prediction.objects.values_list("state", "attempts"))))
"""


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def portal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Portal]:
    if request.param == "sqlite":
        yield Portal(tmp_path / "var")
    else:
        with postgres_server() as postgres:
            yield Portal(tmp_path / "var", {"DATABASE_URL": postgres.url})


@pytest.mark.parametrize("way", ["by id", "by turn"])
def test_workers_that_race_for_the_same_rows_answer_each_once(portal: Portal, way: str) -> None:
    portal.manage("shell", "--no-imports", "-c", UPLOAD)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORK, way],
            cwd=ROOT,
            env=portal.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(NUM_WORKERS)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert (worker.returncode, "Traceback" in errors) == (0, False), errors
    rows = json.loads(portal.manage("shell", "--no-imports", "-c", LOOK).splitlines()[-1])
    assert rows == [["succeeded", 1]] * 12

"""The retraining loop in a running portal, step by step through the API, and with its processes killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ml.classes import FRACTURE_CLASSES
from tests.client import Client, png
from tests.data_sets import draw_distinct, draw_zip
from tests.faults.load import Load
from tests.ml.drawings import BREAKS
from tests.servers import Portal, redis_server, wait_until

# So that a dead worker's claim runs out, and the sweep comes by, while a test can wait for it.
QUICK = {"CALLUS_LEASE_SECONDS": "4", "CALLUS_SWEEP_SECONDS": "1"}
PATIENCE = 600.0
ENDED = ("succeeded", "failed", "canceled")


@pytest.fixture(scope="module", params=["embedded", "redis"])
def portal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """One for all tests on an engine. The Redis delivers again whatever is not done after three seconds."""
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        environment = dict(QUICK)
        if request.param == "redis":
            environment["REDIS_URL"] = stack.enter_context(redis_server(folder)).url
            environment["CALLUS_VISIBILITY_SECONDS"] = "3"
        portal = Portal(folder / "var", environment)
        stack.callback(portal.stop)
        portal.start_set()
        yield portal


@pytest.fixture(scope="module")
def ada(portal: Portal) -> Client:
    return admin_of(portal)


@pytest.fixture(scope="module")
def dataset(ada: Client) -> int:
    """Forty drawn images in the ten classes, sent as a zip and audited."""
    kinds = [BREAKS[number % len(BREAKS)] for number in range(len(FRACTURE_CLASSES))]
    made = ada.post("dataset-versions/", fields={"file": ("drawn.zip", draw_zip(4, kinds, FRACTURE_CLASSES))})
    built = wait_for(ada, f"dataset-versions/{made['id']}/", *ENDED)
    assert built["state"] == "succeeded", built["error"]
    return int(made["id"])


def admin_of(portal: Portal) -> Client:
    password = "correct-horse-battery"
    portal.manage(
        *("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.org"),
        extra={"DJANGO_SUPERUSER_PASSWORD": password},
    )
    return Client(portal.url, "ada", password)


@pytest.fixture(scope="module")
def eve(portal: Portal, ada: Client) -> Client:
    """A second person who may promote."""
    portal.manage(
        *("createsuperuser", "--noinput", "--username", "eve", "--email", "eve@example.org"),
        extra={"DJANGO_SUPERUSER_PASSWORD": "correct-horse-battery"},
    )
    return Client(portal.url, "eve")


def wait_for(client: Client, path: str, *states: str) -> Any:
    def reached() -> Any:
        found = client.get(path)
        return found if found["state"] in states else None

    try:
        return wait_until(reached, what=f"{path} to be {' or '.join(states)}", seconds=PATIENCE, every=0.25)
    except AssertionError as error:
        raise AssertionError(f"{error}: {client.get(path)}") from None


def start_run(client: Client, dataset: int, *, epochs: int, seed: int = 0) -> int:
    wanted = {
        "dataset_version": dataset,
        "recipe": "tiny",
        "start": "scratch",
        "epochs": epochs,
        "seed": seed,
    }
    return int(client.post("training-runs/", json=wanted)["id"])


def pids(portal: Portal, *words: str) -> list[int]:
    """The portal's processes with these words in their command."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        mine = f"CALLUS_DATA_DIR={portal.data_dir}".encode() in environment.split(b"\0")
        if mine and all(word in command for word in words):
            found.append(int(folder.name))
    return found


def trainers(portal: Portal) -> list[int]:
    return pids(portal, "-m ml train ")


def kill_training_worker(portal: Portal) -> None:
    for pid in pids(portal, "--queues train"):
        os.kill(pid, signal.SIGKILL)
    portal.processes["train"].wait()


def attempts(portal: Portal, run: int) -> int:
    """As the database has it: the API does not tell."""
    return int(portal.look_up(f"select attempts from training_trainingrun where id = {run}")[0])


def versions(client: Client) -> list[int]:
    return [version["number"] for version in client.get("model-versions/")["results"]]


def epochs_done(client: Client, run: int) -> int:
    return len(client.get(f"training-runs/{run}/")["history"])


def wait_for_epochs(client: Client, run: int, number: int) -> None:
    wait_until(
        lambda: epochs_done(client, run) >= number, what=f"epoch {number}", seconds=PATIENCE, every=0.25
    )


def test_from_a_zip_to_a_model_that_is_live_and_back(
    portal: Portal, ada: Client, eve: Client, dataset: int
) -> None:
    portal.add_users("alice")
    alice = Client(portal.url, "alice")
    first = alice.wait_for_answer(alice.upload(png(draw_distinct("Oblique", 90)))["prediction"]["id"])
    assert first["model_version"] == 1

    run = start_run(ada, dataset, epochs=2)
    seen = set()

    def watch() -> Any:
        found = ada.get(f"training-runs/{run}/")
        seen.add((found["state"], found["phase"]))
        return found if found["state"] in ENDED else None

    ended: Any = wait_until(watch, what="the training run to end", seconds=PATIENCE, every=0.25)
    assert ended["state"] == "succeeded", ended["error"]
    assert {("running", "train"), ("running", "evaluate")} & seen
    assert [entry["epoch"] for entry in ended["history"] if entry["phase"] == "train"] == [1, 2]

    version = ada.get(f"model-versions/{ended['model_version']}/")
    new = version["number"]
    assert (version["dataset_version"], version["report"]["n"], version["is_live"]) == (dataset, 10, False)
    comparison = ada.get(f"comparisons/{version['comparison']}/")
    assert (comparison["candidate"], comparison["live"], comparison["state"]) == (new, 1, "succeeded")
    assert comparison["num_images"] == 10

    load = Load(alice)
    load.start()
    wait_until(lambda: len(load.sent) >= 3, what="uploads before the promotion")
    assert comparison["verdict"] == "too few"
    ada.post(f"model-versions/{new}/promote/", json={}, status=409)
    asked = ada.post(
        f"model-versions/{new}/promote/", json={"reason": "It is needed for a test."}, status=202
    )
    ada.post(f"promotion-requests/{asked['id']}/confirm/", status=409)
    eve.post(f"promotion-requests/{asked['id']}/confirm/")
    promoted = datetime.fromisoformat(ada.get("promotions/")["results"][0]["created_at"])
    before = len(load.sent)
    wait_until(lambda: len(load.sent) >= before + 5, what="uploads after the promotion")
    outcome = load.finish("promotion", patience=PATIENCE)
    assert (outcome.lost, outcome.failed, outcome.twice) == (0, 0, 0)
    answered_by = set()
    for sent in load.sent:
        assert sent.answer is not None
        apart = datetime.fromisoformat(sent.answer["created_at"]) - promoted
        answered_by.add(sent.answer["model_version"])
        # An upload reads which model is live a moment before its row is written.
        if abs(apart) > timedelta(seconds=1):
            assert sent.answer["model_version"] == (new if apart > timedelta(0) else 1)
    assert answered_by == {1, new}

    batch = alice.post("prediction-batches/", json={"radiographs": [first["radiograph"]]})
    assert batch["model_version"] == new
    wait_until(
        lambda: alice.get(f"prediction-batches/{batch['id']}/")["progress"]["done"] == 1,
        what="the live model's answer beside the old one",
    )
    again = alice.get(f"radiographs/{first['radiograph']}/")["prediction"]["id"]
    assert alice.get(f"predictions/{again}/")["model_version"] == new
    assert alice.get(f"predictions/{first['id']}/") == first

    ada.post("promotions/roll-back/", json={"reason": "It was a test."})
    last = alice.wait_for_answer(alice.upload(png(draw_distinct("Oblique", 91)))["prediction"]["id"])
    assert last["model_version"] == 1
    kinds = [promotion["kind"] for promotion in ada.get("promotions/")["results"]]
    assert kinds == ["roll_back", "promote", "promote"]


def test_a_run_whose_trainer_and_then_whose_worker_is_killed_goes_on_and_makes_one_version(
    portal: Portal, ada: Client, dataset: int
) -> None:
    before = versions(ada)
    run = start_run(ada, dataset, epochs=20, seed=1)
    wait_for_epochs(ada, run, 2)
    killed = trainers(portal)
    assert len(killed) == 1
    os.kill(killed[0], signal.SIGKILL)
    wait_for_epochs(ada, run, epochs_done(ada, run) + 2)
    assert ada.get(f"training-runs/{run}/")["state"] == "running", "it ended before the kill: more epochs"

    kill_training_worker(portal)
    wait_until(lambda: not trainers(portal), what="the trainer to die with its worker", seconds=10)
    done = epochs_done(ada, run)
    portal.start("train", "worker", "train")

    ended = wait_for(ada, f"training-runs/{run}/", *ENDED)
    assert ended["state"] == "succeeded", (ended["error"], portal.console()[-3000:])
    keys = [(entry["phase"], entry["epoch"]) for entry in ended["history"]]
    assert len(keys) == len(set(keys)) > done
    assert attempts(portal, run) == 3
    assert versions(ada) == [ended["model_version"], *before]
    assert not list((portal.data_dir / "runs").iterdir())


def test_a_run_that_its_ending_worker_hands_back_goes_on_and_is_canceled_within_seconds(
    portal: Portal, ada: Client, dataset: int
) -> None:
    run, waiting = (start_run(ada, dataset, epochs=400, seed=seed) for seed in (2, 3))
    wait_for_epochs(ada, run, 1)
    assert ada.get(f"training-runs/{waiting}/")["waits_for"] == [f"Training run {run}"]
    assert ada.post(f"training-runs/{waiting}/cancel/", status=200)["state"] == "canceled"

    portal.processes["train"].terminate()
    portal.processes["train"].wait(30)

    assert ada.get(f"training-runs/{run}/")["state"] == "queued"
    assert attempts(portal, run) == 0
    assert not trainers(portal)
    done = epochs_done(ada, run)
    portal.start("train", "worker", "train")
    wait_for_epochs(ada, run, done + 1)
    keys = [(entry["phase"], entry["epoch"]) for entry in ada.get(f"training-runs/{run}/")["history"]]
    assert len(keys) == len(set(keys)), "it went on from the last epoch"

    ada.post(f"training-runs/{run}/cancel/", status=200)
    wait_until(lambda: ada.get(f"training-runs/{run}/")["state"] == "canceled", what="the end", seconds=15)
    wait_until(lambda: not trainers(portal), what="the trainer to be gone", seconds=10)
    wait_until(lambda: not list((portal.data_dir / "runs").iterdir()), what="the folder to be gone")
    ada.post(f"training-runs/{run}/cancel/", status=409)


def test_a_run_longer_than_redis_waits_for_it_is_not_run_twice(
    portal: Portal, ada: Client, dataset: int
) -> None:
    if "REDIS_URL" not in portal.environment:
        pytest.skip("only Redis delivers again what is not done in time")
    before = versions(ada)
    portal.start("second", "worker", "train", "--name", "second")
    run = start_run(ada, dataset, epochs=30, seed=5)
    started: set[int] = set()

    def ended() -> Any:
        started.update(trainers(portal))
        found = ada.get(f"training-runs/{run}/")
        return found if found["state"] in ENDED else None

    found: Any = wait_until(ended, what="the run to end", seconds=PATIENCE, every=0.25)
    assert found["state"] == "succeeded", found["error"]
    took = datetime.fromisoformat(found["finished_at"]) - datetime.fromisoformat(found["started_at"])
    assert took > timedelta(seconds=9), "it ended before Redis delivered it again: more epochs"
    assert len(started) == 1
    assert attempts(portal, run) == 1
    assert versions(ada) == [found["model_version"], *before]

"""Training runs as rows: asked for, claimed once, canceled, given up. What a run does is in tests/faults."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from classifier.core.errors import NotAllowedNow
from classifier.core.leases import Lease, LeaseLost
from classifier.core.models import AuditEntry, Notification, User
from classifier.core.queued_work import ahead_of
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.training.jobs.test_sets import HeldOutTestSet, TrainingImages, largest_test_set
from classifier.training.jobs.train import run_training
from classifier.training.models import TrainingRun
from classifier.training.services import TrainingRefused, cancel_training, request_training
from ml.data.manifests import Manifest
from portal.operations.sweep import sweep
from tests.retraining import CLASSES, person, ready_dataset, stored_dataset, trained_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def tara(db: None) -> User:
    return person("tara", "Trainers")


@pytest.fixture(autouse=True)
def _own_data_folder(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "var"


@pytest.fixture
def ask(tara: User) -> Callable[..., TrainingRun]:
    def request(**wanted: Any) -> TrainingRun:
        dataset = wanted.pop("dataset_version", None) or ready_dataset()
        defaults = {"recipe": "tiny", "start": "scratch", **wanted}
        return request_training(user=tara, dataset_version=dataset, **defaults)

    return request


def claim(run: TrainingRun, seconds: float = 60) -> TrainingRun | None:
    return TrainingRun.objects.claim(run.pk, lease_until=timezone.now() + timedelta(seconds=seconds))


def fresh(run: TrainingRun) -> TrainingRun:
    return TrainingRun.objects.get(pk=run.pk)


def test_a_run_waits_in_the_queue_behind_what_was_asked_for_before(ask: Callable[..., TrainingRun]) -> None:
    audit = DatasetVersion.objects.create(source="zip", state="running")
    first, second = ask(), ask()

    assert ahead_of(first) == [audit]
    assert ahead_of(second) == [audit, first]
    claimed = claim(first)
    assert claimed is not None
    assert ahead_of(claimed) == []


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        ({"recipe": "secret sauce"}, "The recipe must be one of"),
        ({"start": "somewhere"}, "The start must be one of"),
        ({"epochs": 0}, "The value for epochs must be between 1 and 500"),
        ({"batch_size": 1000}, "The value for batch size must be between 1 and 512"),
        ({"seed": -1}, "The value for seed must be between 0 and"),
        ({"recipe": "probe"}, "cannot start from scratch: it needs pretrained weights"),
        ({"start": "pretrained"}, "has no pretrained weights"),
        ({"recipe": "tiny", "start": "live"}, "cannot start from Model 1, which is another network"),
    ],
)
def test_what_cannot_be_trained_is_refused_at_once(
    ask: Callable[..., TrainingRun], model: ModelVersion, wanted: dict[str, Any], error: str
) -> None:
    with pytest.raises(TrainingRefused, match=error):
        ask(**wanted)
    assert not TrainingRun.objects.exists()


def test_nothing_is_learned_from_a_data_set_that_could_not_be_made(ask: Callable[..., TrainingRun]) -> None:
    with pytest.raises(NotAllowedNow, match="could not be made"):
        ask(dataset_version=DatasetVersion.objects.create(source="zip", state="failed"))


def test_what_live_means_is_settled_when_a_run_is_asked_for(
    ask: Callable[..., TrainingRun], model: ModelVersion
) -> None:
    ModelVersion.objects.update(card={"classes": CLASSES, "architecture": "tiny_cnn"})

    assert ask(start="live").start_version == model
    assert ask(start="shipped").start_version == model
    assert ask(start="scratch").start_version is None
    assert ask(recipe="probe", start="pretrained").start_version is None


@pytest.mark.django_db(transaction=True)
def test_of_many_workers_with_the_same_message_one_gets_the_run(ask: Callable[..., TrainingRun]) -> None:
    run = ask()
    claims: list[TrainingRun | None] = []

    def work() -> None:
        try:
            claims.append(claim(run))
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [one.pk for one in claims if one] == [run.pk]
    assert fresh(run).attempts == 1


def test_a_run_that_nobody_began_is_canceled_at_once_and_once(
    ask: Callable[..., TrainingRun], tara: User
) -> None:
    run = ask()

    cancel_training(user=tara, run=run)

    assert fresh(run).state == "canceled"
    assert fresh(run).canceled_by == tara
    assert claim(run) is None
    with pytest.raises(NotAllowedNow, match="has finished"):
        cancel_training(user=tara, run=run)


def test_a_canceled_run_that_its_worker_left_is_ended_by_the_next_worker(
    ask: Callable[..., TrainingRun], tara: User, settings: Any
) -> None:
    run = ask()
    held = claim(run)
    assert held is not None
    folder = settings.DATA_DIR / "runs" / str(run.pk)
    folder.mkdir(parents=True)
    cancel_training(user=tara, run=run)
    assert fresh(run).is_canceling
    Lease(held).release()

    run_training(run.pk)

    assert fresh(run).state == "canceled"
    assert not folder.exists()
    assert AuditEntry.objects.about(run).newest_first()[0].action == "training stopped"


def test_a_canceled_run_whose_last_worker_died_is_canceled_by_the_sweep_and_not_failed(
    ask: Callable[..., TrainingRun], tara: User
) -> None:
    run = ask()
    for _ in range(3):
        assert claim(run, seconds=-1)
    cancel_training(user=tara, run=run)

    sweep()

    assert (fresh(run).state, fresh(run).error) == ("canceled", "")
    assert AuditEntry.objects.about(run).newest_first()[0].action == "training stopped"
    assert not Notification.objects.for_user(tara).exists()


def test_a_worker_that_lost_its_claim_writes_nothing_more(ask: Callable[..., TrainingRun]) -> None:
    run = ask()
    late = claim(run, seconds=-1)
    successor = claim(run)
    assert late is not None
    assert successor is not None

    for write in (lambda: Lease(late).renew(now=True, epoch=9), lambda: Lease(late).fail("Too late.")):
        with pytest.raises(LeaseLost):
            write()
    assert (fresh(run).state, fresh(run).epoch, fresh(run).error) == ("running", 0, "")
    Lease(successor).finish("succeeded")
    assert fresh(run).state == "succeeded"


def test_a_run_that_kills_its_worker_again_and_again_fails_with_a_reason_its_starter_reads(
    ask: Callable[..., TrainingRun], tara: User
) -> None:
    run = ask()
    for _ in range(3):
        assert claim(run, seconds=-1)
    assert claim(run) is None

    sweep()

    assert fresh(run).state == "failed"
    assert "ended three times in a row without any progress" in fresh(run).error
    assert f"{run} failed." in Notification.objects.for_user(tara).get().text


def test_each_epoch_gives_a_run_three_more_attempts(ask: Callable[..., TrainingRun]) -> None:
    run = ask()
    for _ in range(3):
        claim(run, seconds=-1)
    TrainingRun.objects.filter(pk=run.pk).update(last_attempt=6)

    sweep()
    assert fresh(run).state == "running"
    assert claim(run)


def test_the_sweep_sends_what_waits_and_what_was_left(ask: Callable[..., TrainingRun]) -> None:
    waiting, left, held = ask(), ask(), ask()
    claim(left, seconds=-1)
    claim(held)
    TrainingRun.objects.filter(pk=waiting.pk).update(send_at=timezone.now())

    assert {row for kind, row in sweep() if kind is TrainingRun} == {waiting.pk, left.pk}
    assert [row for kind, row in sweep() if kind is TrainingRun] == [], "not again within a minute"


def test_a_run_waits_for_its_data_set_and_fails_with_it(ask: Callable[..., TrainingRun]) -> None:
    dataset = DatasetVersion.objects.create(source="zip", state="running")
    run = ask(dataset_version=dataset)

    run_training(run.pk)
    assert (fresh(run).state, fresh(run).attempts) == ("queued", 0)

    DatasetVersion.objects.update(state="failed", error="It is damaged.")
    sweep()
    assert fresh(run).state == "failed"
    assert "could not be made. It is damaged." in fresh(run).error


def test_a_run_of_which_ml_refuses_the_data_fails_with_its_sentence_and_is_not_tried_again(
    ask: Callable[..., TrainingRun], tmp_path: Path, files: Path
) -> None:
    run = ask(dataset_version=stored_dataset(tmp_path / "one", classes=CLASSES[:1]))

    run_training(run.pk)

    assert fresh(run).state == "failed"
    assert "only one class" in fresh(run).error
    assert fresh(run).attempts == 1
    assert not (tmp_path / "var" / "runs" / str(run.pk)).exists()


class TestHeldOutTestSet:
    """Two models are compared on images that neither learned from."""

    def test_images_that_one_of_them_learned_from_are_left_out(self, tmp_path: Path, files: Path) -> None:
        dataset = stored_dataset(tmp_path / "a")
        version = trained_version(dataset)
        training_images = TrainingImages.of(version)
        manifest = HeldOutTestSet.make(_manifest(dataset), [training_images], CLASSES).manifest
        assert len(manifest.subset("test")) == 10
        assert training_images.is_known
        assert not training_images.checksums & {item.sha256 for item in manifest.subset("test")}

        seen = {manifest.subset("test")[0].sha256, manifest.subset("test")[1].sha256}
        held_out = HeldOutTestSet.make(manifest, [TrainingImages(frozenset(seen), True)], CLASSES)
        assert (len(held_out.manifest.subset("test")), held_out.num_left_out) == (8, 2)

    def test_also_what_a_model_learned_before_it_was_trained_on(self, tmp_path: Path, files: Path) -> None:
        before, after = stored_dataset(tmp_path / "a"), stored_dataset(tmp_path / "b", first=5000)
        version = trained_version(after)
        TrainingRun.objects.filter(pk=version.training_run.pk).update(start_version=trained_version(before))
        version.refresh_from_db()

        learned = TrainingImages.of(version).checksums
        assert {item.sha256 for item in _manifest(before).subset("train")} < learned
        assert {item.sha256 for item in _manifest(after).subset("validation")} < learned

    def test_with_no_image_left_there_is_no_comparison(self, tmp_path: Path, files: Path) -> None:
        manifest = _manifest(stored_dataset(tmp_path / "a"))
        everything = frozenset(item.sha256 for item in manifest.items)

        assert num_held_out(manifest, everything) == 0
        assert largest_test_set(lambda each: num_held_out(each, everything)) is None

    def test_the_largest_set_of_images_that_are_new_to_both_is_taken(
        self, tmp_path: Path, files: Path
    ) -> None:
        small = stored_dataset(tmp_path / "a", classes=CLASSES[:2], first=5000)
        large = stored_dataset(tmp_path / "b")
        known = frozenset(item.sha256 for item in _manifest(large).items)

        assert largest_test_set(lambda each: num_held_out(each, frozenset())) == large
        assert largest_test_set(lambda each: num_held_out(each, known)) == small

    def test_images_of_classes_that_one_of_them_does_not_know_are_not_counted(
        self, tmp_path: Path, files: Path
    ) -> None:
        other = stored_dataset(tmp_path / "a", classes=[f"New {number}" for number in range(5)])
        shared = stored_dataset(tmp_path / "b", classes=CLASSES[:3], first=5000)
        assert len(_manifest(other).subset("test")) > len(_manifest(shared).subset("test"))

        assert largest_test_set(lambda each: num_held_out(each, frozenset())) == shared


def num_held_out(manifest: Manifest, known: frozenset[str]) -> int:
    held_out = HeldOutTestSet.make(manifest, [TrainingImages(known, True)], CLASSES)
    return len(held_out.manifest.subset("test"))


def _manifest(dataset: DatasetVersion) -> Manifest:
    return archives.read_manifest(dataset)

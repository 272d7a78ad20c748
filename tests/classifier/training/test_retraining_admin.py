"""The retraining loop in the Django admin: its rows are read-only, and its actions work."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from classifier.core.models import AuditEntry, Notification, Site, User
from classifier.datasets.models import DatasetVersion
from classifier.radiographs.models import Prediction, PredictionBatch, Radiograph
from classifier.registry.models import ModelVersion, Promotion
from classifier.reviews.models import Review
from classifier.training.models import Comparison, RetrainingSchedule, TrainingRun
from classifier.training.services import request_training
from tests.retraining import answered, compared, ready_dataset, say, trained_version

KINDS = [
    AuditEntry,
    Comparison,
    DatasetVersion,
    Notification,
    Promotion,
    RetrainingSchedule,
    Review,
    TrainingRun,
]


@pytest.fixture
def root(db: None) -> User:
    return User.objects.create_superuser("root")


@pytest.fixture
def as_root(root: User, client: Client) -> Client:
    client.force_login(root)
    return client


@pytest.fixture
def loop(root: User, alice: User, model: ModelVersion) -> TrainingRun:
    """Creates at least one row of each model, and returns a queued run."""
    dataset = ready_dataset(created_by=root)
    compared(trained_version(dataset), model)
    say(root, answered(alice, model))
    RetrainingSchedule.get()
    run = request_training(user=root, dataset_version=dataset, recipe="tiny", start="scratch")
    Notification.objects.create(user=root, text="Done.", subject="training_run", subject_id=run.pk)
    return run


def address(kind: Any, action: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{kind._meta.app_label}_{kind._meta.model_name}_{action}", args=arguments)


def act(client: Client, kind: Any, action: str, *things: Any) -> str:
    """Runs an admin action on these rows and returns the message that it shows."""
    sent = {"action": action, "_selected_action": [thing.pk for thing in things]}
    answer = client.post(address(kind), sent, follow=True)
    return " ".join(str(message) for message in answer.context["messages"])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_row_is_listed_and_shown_but_cannot_be_changed(
    as_root: Client, loop: TrainingRun, kind: Any
) -> None:
    thing = kind.objects.order_by("-pk")[0]

    assert as_root.get(address(kind)).status_code == 200
    assert as_root.get(address(kind), {"q": "7"}).status_code == 200
    assert as_root.get(address(kind, "change", thing.pk)).status_code == 200
    assert as_root.post(address(kind, "change", thing.pk), {}).status_code == 403
    assert as_root.get(address(kind, "add")).status_code == 403
    assert as_root.post(address(kind, "delete", thing.pk), {"post": "yes"}).status_code == 403
    assert kind.objects.filter(pk=thing.pk).exists()


def test_an_admin_sets_whether_a_site_allows_training(as_root: Client) -> None:
    as_root.post(address(Site, "add"), {"name": "Ward 3", "allows_training": "on"})

    assert Site.objects.get().allows_training


def test_a_run_is_canceled(as_root: Client, loop: TrainingRun) -> None:
    assert act(as_root, TrainingRun, "cancel", loop) == f"{loop} is being canceled."
    loop.refresh_from_db()
    assert loop.state == "canceled"
    assert "has finished" in act(as_root, TrainingRun, "cancel", loop)


def test_a_promotion_passes_the_same_gate_as_in_the_portal(
    as_root: Client, loop: TrainingRun, model: ModelVersion
) -> None:
    good, unknown = ModelVersion.objects.get(number=2), trained_version(loop.dataset_version)

    assert "has not been compared with the live model" in act(as_root, ModelVersion, "promote", unknown)
    assert "Choose one model version" in act(as_root, ModelVersion, "promote", good, unknown)
    assert act(as_root, ModelVersion, "promote", good) == "Model 2 is live."
    assert ModelVersion.objects.live() == good


def test_the_live_model_is_asked_again(as_root: Client, loop: TrainingRun, model: ModelVersion) -> None:
    Promotion.objects.create(model_version=ModelVersion.objects.get(number=2))

    assert "is asked again" in act(as_root, Radiograph, "predict_again", Radiograph.objects.get())
    assert PredictionBatch.objects.get().predictions.count() == 1
    assert Prediction.objects.count() == 2


def test_an_action_requires_its_permission(loop: TrainingRun, client: Client, alice: User) -> None:
    alice.is_staff = True
    alice.save()
    client.force_login(alice)

    assert client.post(address(TrainingRun), {"action": "cancel"}).status_code == 403

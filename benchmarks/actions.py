"""Writes and lookups of users, workers and the scheduler that are timed; each is rolled back."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction

from classifier.core.leases import Lease
from classifier.core.models import Notification, User
from classifier.radiographs import jobs
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import (
    delete_radiographs,
    predict_again,
    receive_radiograph,
    retry_prediction,
)
from classifier.registry.models import ModelVersion
from classifier.reviews.services import record_review
from classifier.training.jobs.schedule import follow_schedule
from ml.classes import FRACTURE_CLASSES
from ml.serve.answer import Answer
from ml.serve.finding import Finding, Mark
from ml.serve.inference import Prediction as Kind
from portal.accounts.services import delete_account, export_account
from portal.operations.purge import empty_trash
from portal.operations.sweep import sweep
from tests.client import png
from tests.ml.drawings import draw_bone

XRAY = png(draw_bone())
KIND = Kind(
    class_name=FRACTURE_CLASSES[0],
    confidence=0.4,
    probabilities=dict.fromkeys(FRACTURE_CLASSES, 0.1),
    prediction_set=list(FRACTURE_CLASSES[:3]),
    abstained=False,
    in_distribution=True,
)
ANSWER = Answer(
    Finding("fracture seen", 0.9, (Mark(20, 30, 24, 18, 0.8),), "hand", recognised=True, calibrated=True),
    KIND,
)


@dataclass(frozen=True)
class Action:
    """One action that is timed.

    Attributes:
        who: Who performs it.
        name: What it does.
        do: Performs it.
        is_timed: False if its time grows with the amount of work by design; then only its query plans are shown.
    """

    who: str
    name: str
    do: Callable[[], object]
    is_timed: bool = True

    def run(self) -> None:
        """Performs the action and rolls it back."""
        with transaction.atomic():
            self.do()
            transaction.set_rollback(True)


def actions() -> list[Action]:
    """Returns all actions, for the database that is connected now."""
    return [
        Action("a user", "uploads an X-ray", _upload),
        Action("a user", "retries a failed prediction", _retry),
        Action("a user", "predicts 24 X-rays again with the live model", _predict_again),
        Action("a user", "deletes an X-ray permanently", _delete),
        Action("a user", "exports 500 X-rays", lambda: _export("made-typical"), is_timed=False),
        Action(
            "a user",
            "deletes an account with 500 X-rays",
            lambda: _delete_account("made-typical"),
            is_timed=False,
        ),
        Action("a reviewer", "reviews a prediction", _review),
        Action(
            "a reviewer", "deletes their account", lambda: _delete_account("made-reviewer"), is_timed=False
        ),
        Action("an admin", "marks all notifications as read", _mark_read),
        Action("a worker", "claims the next prediction and stores its result", _predict),
        Action("the scheduler", "sweeps", sweep),
        Action("the scheduler", "empties the trash", empty_trash, is_timed=False),
        Action("the scheduler", "follows the retraining schedule", follow_schedule),
    ]


def _user(name: str) -> User:
    return User.objects.get(username=name)


def _upload() -> None:
    radiograph = receive_radiograph(owner=_user("made-typical"), upload=SimpleUploadedFile("wrist.png", XRAY))
    for file in (radiograph.image, radiograph.thumbnail):
        Path(file.path).unlink()


def _retry() -> None:
    failed = Prediction.objects.filter(state="failed", owner=_user("made-typical"))
    retry_prediction(prediction=failed.select_related("radiograph")[0])


def _predict_again() -> None:
    live = ModelVersion.objects.live()
    own = Radiograph.objects.owned_by(_user("made-typical")).exclude(predictions__model_version=live)
    predict_again(user=_user("made-typical"), radiographs=own.newest_first()[:24])


def _delete() -> None:
    delete_radiographs([Radiograph.objects.owned_by(_user("made-typical")).newest_first()[0]])


def _export(name: str) -> None:
    for _ in export_account(user=_user(name)):
        pass


def _delete_account(name: str) -> None:
    delete_account(user=_user(name))


def _review() -> None:
    prediction = Prediction.objects.worklist().select_related("radiograph", "model_version")[0]
    record_review(reviewer=_user("made-reviewer"), prediction=prediction, finding="no_fracture")


def _mark_read() -> None:
    Notification.objects.for_user(_user("made-admin")).mark_read()


def _predict() -> None:
    claimed = Prediction.objects.select_related("radiograph").claim_next()
    assert claimed is not None
    jobs.write_answer(Lease(claimed), claimed, ANSWER)

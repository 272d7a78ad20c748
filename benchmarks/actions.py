"""What people, workers and the beat write and look up, timed on few and on many rows; each is undone again."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction

from classifier.core.jobs import Hold
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
from ml.serve.inference import Prediction as Answer
from portal.accounts.services import delete_account, export_account
from portal.operations.purge import empty_trash
from portal.operations.sweep import sweep
from tests.client import png
from tests.ml.drawings import draw_bone

XRAY = png(draw_bone())
ANSWER = Answer(
    class_name=FRACTURE_CLASSES[0],
    confidence=0.4,
    probabilities=dict.fromkeys(FRACTURE_CLASSES, 0.1),
    prediction_set=list(FRACTURE_CLASSES[:3]),
    abstained=False,
    in_distribution=True,
    saliency=draw_bone().astype("float32") / 255,
)


@dataclass(frozen=True)
class Action:
    who: str
    name: str
    do: Callable[[], object]
    # Otherwise it grows with what there is to do, by its nature: its plans are looked at, its time is not.
    is_timed: bool = True

    def run(self) -> None:
        """Does it, and undoes it."""
        with transaction.atomic():
            self.do()
            transaction.set_rollback(True)


def actions() -> list[Action]:
    return [
        Action("a person", "uploads an X-ray", _upload),
        Action("a person", "asks again for an answer that failed", _retry),
        Action("a person", "asks the live model about 24 X-rays", _predict_again),
        Action("a person", "removes an X-ray for good", _delete),
        Action("500 X-rays", "are taken along", lambda: _export("made-typical"), is_timed=False),
        Action("500 X-rays", "go with their account", lambda: _leave("made-typical"), is_timed=False),
        Action("a reviewer", "reviews an answer", _review),
        Action("a reviewer", "deletes their account", lambda: _leave("made-reviewer"), is_timed=False),
        Action("an admin", "marks all notifications as read", _read),
        Action("a worker", "claims the next prediction and writes its answer", _answer),
        Action("the beat", "sweeps", sweep),
        Action("the beat", "empties the trash", empty_trash, is_timed=False),
        Action("the beat", "follows the retraining schedule", follow_schedule),
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


def _leave(name: str) -> None:
    delete_account(user=_user(name))


def _review() -> None:
    prediction = Prediction.objects.worklist().select_related("radiograph", "model_version")[0]
    record_review(reviewer=_user("made-reviewer"), prediction=prediction, verdict="no_fracture")


def _read() -> None:
    Notification.objects.of(_user("made-admin")).mark_read()


def _answer() -> None:
    claimed = Prediction.objects.select_related("radiograph").claim_fairest()
    assert claimed is not None
    jobs.write_answer(Hold(claimed), claimed, ANSWER)

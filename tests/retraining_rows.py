"""Rows of the retraining loop as its workers would write them, for tests in which nothing is trained."""

import hashlib
import zipfile
from io import BytesIO
from typing import Any

from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from classifier.core.models import User
from classifier.core.permissions import PROMOTE, REVIEW, TRAIN, VIEW
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, Recalibration, TrainingRun
from ml.classes import FRACTURE_CLASSES
from ml.data.manifests import COLUMNS
from tests.client import png
from tests.data_sets import draw_distinct
from tests.ml.drawings import BREAKS
from tests.people import signed_in
from tests.retraining import judgement

CLASSES = list(FRACTURE_CLASSES)
PATH = "Spiral Fracture/Train/07 & more.png"
ESTIMATE = {"value": 0.31, "low": 0.24, "high": 0.39, "n": 132, "groups": 92}
EPOCHS = [
    {"phase": "train", "epoch": epoch, "metrics": {"loss": 2.3 - epoch / 10, "val_accuracy": epoch / 10}}
    for epoch in (1, 2, 3)
]


def user_who_may(name: str, *permissions: str) -> User:
    user = User.objects.create_user(name, f"{name}@example.org")
    codenames = [permission.partition(".")[2] for permission in permissions]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


def trainer() -> Client:
    """Tess, who may do all of it."""
    return signed_in(user_who_may("tess", VIEW, REVIEW, TRAIN, PROMOTE))


def make_dataset(**fields: Any) -> DatasetVersion:
    """A data set version that is ready, with one image in its archive."""
    number = DatasetVersion.objects.count() + 1
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(f"images/{PATH}", png(draw_distinct(BREAKS[0], 7)))
    sizes = {"train": 8, "validation": 2, "test": 3}
    made: dict[str, Any] = {
        "source": "zip",
        "upload_name": "drawn.zip",
        "state": "succeeded",
        "finished_at": timezone.now(),
        "checksum": f"{number:064}",
        "test_checksum": "7" * 64,
        "archive": default_storage.save(f"datasets/{number}.zip", ContentFile(content.getvalue())),
        "manifest": default_storage.save(f"datasets/{number}.csv", ContentFile(manifest())),
        "classes": CLASSES,
        "counts": {split: dict.fromkeys(CLASSES, images) for split, images in sizes.items()},
        "samples": {"Spiral Fracture": [PATH]},
        "report": {
            "num_files": 133,
            "groups": {"count": 120},
            "unreadable": [{"path": "Spiral Fracture/cut.png", "reason": "The PNG file is cut off."}],
            "exact_duplicates": [["a/1.png", "a/2.png"]],
            "conflicts": [[{"path": "a/3.png", "label": "a"}, {"path": "b/3.png", "label": "b"}]],
        },
        **fields,
    }
    return DatasetVersion.objects.create(**made)


def manifest() -> bytes:
    """The table of the image at PATH."""
    image = png(draw_distinct(BREAKS[0], 7))
    row = [PATH, hashlib.sha256(image).hexdigest(), "112", "112", PATH.partition("/")[0], "g-1", "test"]
    return f"{','.join(COLUMNS)}\n{','.join(row)}\n".encode()


def make_run(dataset: DatasetVersion, **fields: Any) -> TrainingRun:
    return TrainingRun.objects.create(
        **{"dataset_version": dataset, "recipe": "tiny", "start": "scratch", **fields}
    )


def report() -> dict[str, Any]:
    """As `python -m ml evaluate` writes it."""
    right = [[3 if row == column else 0 for column in range(10)] for row in range(10)]
    bins = [{"upper": 0.4, "count": 30, "confidence": 0.3, "accuracy": 0.31}]
    return {
        "n": 132,
        "groups": 92,
        "trained_on": 0,
        "classes": CLASSES,
        "always_the_largest_class": {"accuracy": 0.15, "balanced_accuracy": 0.1},
        "figures": {"accuracy": ESTIMATE, "balanced_accuracy": ESTIMATE},
        "per_class": {
            name: {"n": 13, "precision": ESTIMATE, "recall": ESTIMATE, "f1": ESTIMATE} for name in CLASSES
        },
        "confusion_matrix": right,
        "reliability": {"before": bins, "after": bins},
        "unsure": {"num_answered": 50, "accuracy_among_answered": ESTIMATE},
    }


def make_candidate(dataset: DatasetVersion | None = None, **fields: Any) -> ModelVersion:
    """What a run made; not live."""
    number = ModelVersion.objects.next_number()
    run = make_run(dataset or make_dataset(), state="succeeded", history=EPOCHS)
    made: dict[str, Any] = {
        "number": number,
        "checksum": f"{number:064x}"[::-1],
        "card": {"classes": CLASSES, "architecture": "tiny_cnn"},
        "source": ModelVersion.Source.TRAINED,
        "report": report(),
        **fields,
    }
    version = ModelVersion.objects.create(**made)
    run.trained_version = version
    run.save()
    return version


def compare(
    candidate: ModelVersion, live: ModelVersion, verdict: str = "not inferior", **fields: Any
) -> Comparison:
    difference = {"value": -0.05, "low": -0.11, "high": 0.02, "n": 132, "groups": 92}
    made: dict[str, Any] = {
        "candidate": candidate,
        "live": live,
        "dataset_version": candidate.training_run.dataset_version,
        "state": "succeeded",
        "verdict": verdict,
        "num_images": 132,
        "result": {
            "groups": 92,
            "judgement": judgement(verdict).to_json(),
            "differences": {"balanced_accuracy": {"a": 0.31, "b": 0.26, **difference}},
            "mcnemar": {"only_a_right": 9, "only_b_right": 4, "p_value": 0.267},
            "per_class": {
                "Spiral Fracture": {"n": 13, "recall_a": 0.5, "recall_b": 0.4, "difference": difference}
            },
            "disagreements": [
                {
                    "path": PATH,
                    "label": "Spiral Fracture",
                    "a": {"class": "Spiral Fracture", "confidence": 0.4},
                    "b": {"class": "Oblique fracture", "confidence": 0.3},
                }
            ],
        },
        **fields,
    }
    return Comparison.objects.create(**made)


def recalibration_result(error: float = 0.02, missed: float = 0.04) -> dict[str, Any]:
    """As `python -m ml recalibrate` writes it, with these figures after."""

    def measured(error: float, missed: float) -> dict[str, Any]:
        values = {
            "calibration_error": error,
            "no_fracture_seen_among_fractured": missed,
            "fracture_seen_among_unfractured": 0.09,
            "fractured_among_no_fracture_seen": 0.03,
        }
        figures = {name: {**ESTIMATE, "value": value} for name, value in values.items()}
        return {"all": {"n": 90, "fractured": 40, **figures}}

    return {
        "n": 90,
        "fractured": 40,
        "groups": 12,
        "left_out": {"trained_on": 2, "contradicted": 0, "not_recognised": 1},
        "known_to_old_calibration": 0,
        "thresholds": {
            "not_seen_below": {"before": 0.051, "after": 0.08},
            "seen_from": {"before": 0.2, "after": 0.4},
            "mark_from": {"before": 0.2, "after": 0.2},
        },
        "before": measured(0.1, 0.05),
        "after": measured(error, missed),
        "differences": {
            name: {"value": -0.01, "low": -0.1, "high": 0.1}
            for name in ("calibration_error", "missed", "false_alarms")
        },
    }


def recalibrate(start: ModelVersion, error: float = 0.02, missed: float = 0.04) -> Recalibration:
    """A recalibration of this version that is done; not live."""
    number, result = ModelVersion.objects.next_number(), recalibration_result(error, missed)
    made = ModelVersion.objects.create(
        number=number,
        checksum=f"{number:064x}"[::-1],
        card={**start.card, "finding": {"figures": {"recalibrated": result}}},
        source=ModelVersion.Source.RECALIBRATED,
        report=start.report,
    )
    return Recalibration.objects.create(
        start_version=start, made_version=made, state="succeeded", result=result, finished_at=timezone.now()
    )


def num_queries(client: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(path).status_code == 200
    return len(queries)

"""Rows and files that the tests of the retraining loop begin with."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from classifier.core.models import Site, User
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion, Promotion, PromotionRequest
from classifier.reviews.models import Review
from classifier.reviews.services import record_review
from classifier.training.models import Comparison, TrainingRun
from classifier.training.promotions import promote_version
from ml.classes import FRACTURE_CLASSES
from ml.data.finding_labels import FindingLabels
from ml.data.manifests import Item, Manifest
from ml.evaluate.non_inferiority import Judgement
from portal.accounts.services import create_default_groups
from tests.client import png
from tests.data_sets import draw_distinct
from tests.people import signed_in

CLASSES = list(FRACTURE_CLASSES)
ONE, OTHER = CLASSES[:2]


def person(name: str, *groups: str, site: Site | None = None) -> User:
    create_default_groups()
    user = User.objects.create_user(name, f"{name}@example.org", site=site)
    user.groups.set(Group.objects.filter(name__in=groups))
    return user


def zip_file(content: bytes, name: str = "drawn.zip") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content, "application/zip")


@cache
def _drawn(seed: int) -> bytes:
    return png(draw_distinct("Oblique", 5000 + seed))


def answered(
    owner: User,
    version: ModelVersion,
    *,
    class_name: str = ONE,
    finding: str = "fracture_seen",
    probability: float = 0.9,
    seed: int = 0,
) -> Prediction:
    """A radiograph of this owner, with its file, and the version's answer."""
    radiograph = Radiograph.objects.create(
        owner=owner,
        _file_name=f"{seed}.png",
        sha256=hashlib.sha256(_drawn(seed)).hexdigest(),
        width=112,
        height=112,
    )
    radiograph.image = default_storage.save(f"radiographs/{radiograph.id}.png", ContentFile(_drawn(seed)))
    radiograph.save()
    rank = Prediction.ReviewRank.DOUBTFUL if finding == "doubtful" else Prediction.ReviewRank.UNREVIEWED
    return Prediction.objects.create(
        radiograph=radiograph,
        owner=owner,
        model_version=version,
        state=Prediction.State.SUCCEEDED,
        finding=finding,
        fracture_probability=probability,
        class_name=class_name,
        confidence=0.8,
        abstained=False,
        in_distribution=True,
        review_rank=rank,
        review_order=1 - probability,
        finished_at=timezone.now(),
    )


def say(reviewer: User, prediction: Prediction, class_name: str = ONE, finding: str = "fracture") -> Review:
    named = class_name if finding == "fracture" else ""
    return record_review(reviewer=reviewer, prediction=prediction, finding=finding, class_name=named)


def stored_dataset(
    folder: Path, *, each: int = 4, classes: list[str] = CLASSES, first: int = 0, fractured: bool = False
) -> DatasetVersion:
    """A data set version that is ready, without an audit: of each class two images learn, one validates, one tests.

    Args:
        fractured: whether the images are known to show a fracture.
    """
    items = []
    for place, name in enumerate(classes):
        for number in range(each):
            path = folder / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = png(draw_distinct("Transverse", first + 100 * place + number))
            path.write_bytes(content)
            split: Any = {0: "test", 1: "validation"}.get(number % 4, "train")
            digest = hashlib.sha256(content).hexdigest()
            known = FindingLabels(True) if fractured else None
            group = f"g{place}-{number}"
            items.append(Item(f"{name}/{number}.png", digest, 112, 112, name, group, split, known))
    manifest = Manifest.of(folder, items)
    version = DatasetVersion.objects.create(
        source=DatasetVersion.Source.ZIP,
        state=DatasetVersion.State.SUCCEEDED,
        checksum=manifest.checksum(),
        classes=manifest.classes,
        counts={
            "train": dict.fromkeys(classes, 2),
            "validation": dict.fromkeys(classes, 1),
            "test": dict.fromkeys(classes, 1),
        },
        findings={"train": {"fractured": each}} if fractured else {},
        finished_at=timezone.now(),
    )
    version.archive, version.manifest = archives.store(version, manifest, lambda number: None, lambda: None)
    version.save()
    return version


def ready_dataset(**fields: Any) -> DatasetVersion:
    """A data set version as a row alone, for what does not look at its images."""
    return DatasetVersion.objects.create(
        source=DatasetVersion.Source.ZIP,
        state=DatasetVersion.State.SUCCEEDED,
        classes=CLASSES,
        checksum=f"{DatasetVersion.objects.count():064}",
        **fields,
    )


def trained_version(dataset: DatasetVersion, **fields: Any) -> ModelVersion:
    """A version that came of a training run, as rows alone."""
    run = TrainingRun.objects.create(
        dataset_version=dataset, recipe="tiny", start="scratch", state=TrainingRun.State.SUCCEEDED
    )
    number = ModelVersion.objects.next_number()
    version = ModelVersion.objects.create(
        number=number,
        checksum=f"{number:064}",
        card={"classes": CLASSES, "architecture": "tiny_cnn"},
        source=ModelVersion.Source.TRAINED,
        **fields,
    )
    run.trained_version = version
    run.save()
    return version


# By verdict, the interval of the difference and what is missing.
INTERVALS: dict[str, tuple[float, float, str]] = {
    "better": (0.01, 0.09, ""),
    "not inferior": (-0.04, 0.06, ""),
    "inconclusive": (-0.11, 0.02, ""),
    "worse": (-0.2, -0.1, ""),
    "guessing": (-0.04, 0.06, ""),
    "too few": (-0.04, 0.06, "91 images and 51 groups"),
}


def judgement(verdict: str, *, check: bool = True, **fields: Any) -> Judgement:
    """What ml says of the kind of fracture with this verdict, unless `fields` say otherwise."""
    low, high, missing = INTERVALS[verdict]
    value = (low + high) / 2
    second = 0.05 if verdict == "guessing" else 0.31 + value
    figures = {"first": second - value, "second": second, "value": value, "low": low, "high": high}
    of_kind = {"figure": "balanced accuracy", "unit": "test images", "margin": 0.05, "chance": 0.1}
    found = Judgement(**{**of_kind, **figures, "n": 132, "groups": 92, "missing": missing, **fields})
    assert not check or found.verdict == verdict
    return found


def compared(
    candidate: ModelVersion, live: ModelVersion, verdict: str = "not inferior", **fields: Any
) -> Comparison:
    run = getattr(candidate, "training_run", None)
    dataset = run.dataset_version if run else ready_dataset()
    result = {"judgement": judgement(verdict).to_json()} if verdict else {}
    wanted = {"state": "succeeded", "verdict": verdict, "num_images": 132, "result": result, **fields}
    return Comparison.objects.create(candidate=candidate, live=live, dataset_version=dataset, **wanted)


def promoted(user: User, version: ModelVersion, reason: str = "It is needed for this test.") -> Promotion:
    """Makes a version live, with a second person if the gate objects."""
    made = promote_version(user=user, version=version, reason=reason)
    return made if isinstance(made, Promotion) else confirm_as_second_person()


def confirm_as_second_person() -> Promotion:
    """Another trainer confirms the request that waits."""
    second = User.objects.filter(username="second").first() or person("second", "Trainers")
    request = PromotionRequest.objects.waiting().get()
    assert signed_in(second).post(f"/promotion-requests/{request.pk}/confirm/").status_code == 302
    return Promotion.objects.get(request=request)

"""Chooses the frozen test images that two models are compared on."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Self

from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.models import TrainingRun
from ml.data.manifests import Manifest
from ml.serve.bundle import CALIBRATION_IMAGES, TRAINING_IMAGES, Bundle


def largest_test_set(num_test_images: Callable[[Manifest], int]) -> DatasetVersion | None:
    """Returns the data set version with the most test images, of equals the newest; None if none has any.

    Args:
        num_test_images: called with the manifest of each version, without its images.
    """
    versions = DatasetVersion.objects.succeeded().defer("report", "samples")
    counted = [(num_test_images(archives.read_manifest(each)), each.pk, each) for each in versions]
    number, _, largest = max(counted, default=(0, 0, None), key=lambda each: each[:2])
    return largest if number else None


def num_new_findings(manifest: Manifest, *findings: Bundle) -> int:
    """Returns the number of test images with a known finding that no finding was trained or calibrated on."""
    names = (TRAINING_IMAGES, CALIBRATION_IMAGES)
    known = frozenset[str]().union(*(each.digests(name) for each in findings for name in names))
    labelled = [item for item in manifest.subset("test") if item.finding is not None]
    groups = {item.group for item in labelled if item.sha256 in known}
    return sum(item.group not in groups for item in labelled)


@dataclass(frozen=True)
class TrainingImages:
    """The images that the kind of a model was trained or calibrated on.

    They include those of the models that it started from.

    Attributes:
        checksums: SHA-256 of each image.
        is_known: False if the training images of the model, or of one that it started from, are unknown.
    """

    checksums: frozenset[str]
    is_known: bool

    @classmethod
    def of_run(cls, run: TrainingRun) -> Self:
        checksums = _checksums_outside_test(run.dataset_version)
        if run.start_version is None:
            return cls(checksums, True)
        earlier = cls.of(run.start_version)
        return cls(checksums | earlier.checksums, earlier.is_known)

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        run = getattr(version, "training_run", None)
        if run is not None and not run.trains_finding:
            return cls.of_run(run)
        listed = bundles.fetch(version).file(TRAINING_IMAGES)
        if listed.exists():
            return cls(frozenset(listed.read_text(encoding="ascii").split()), True)
        checksum = version.card.get("data", {}).get("manifest_sha256")
        same = DatasetVersion.objects.filter(checksum=checksum).first()
        return cls(_checksums_outside_test(same), True) if same else cls(frozenset(), False)


def _checksums_outside_test(dataset: DatasetVersion) -> frozenset[str]:
    """Includes the validation images, which select the epoch and calibrate."""
    items = archives.read_manifest(dataset).items
    return frozenset(item.sha256 for item in items if item.split != "test")


@dataclass(frozen=True)
class HeldOutTestSet:
    """Test images that neither model was trained on, as far as is known.

    Attributes:
        manifest: the manifest with these test images and all other images.
        num_left_out: the number of test images that were left out.
        is_known: whether the training images of all models are known.
    """

    manifest: Manifest
    num_left_out: int
    is_known: bool

    @classmethod
    def make(
        cls, manifest: Manifest, training_images: list[TrainingImages], classes: Collection[str]
    ) -> Self:
        """Keeps the test images of these classes, but no group that a model was trained or calibrated on."""
        seen = frozenset[str]().union(*(images.checksums for images in training_images))
        everything = manifest.subset("test")
        groups = {item.group for item in everything if item.sha256 in seen}
        test = [item for item in everything if item.label in classes]
        kept = [item for item in test if item.group not in groups]
        rest = [item for item in manifest.items if item.split != "test"]
        held_out = Manifest.of(manifest.root, [*kept, *rest])
        is_known = all(images.is_known for images in training_images)
        return cls(held_out, len(test) - len(kept), is_known)

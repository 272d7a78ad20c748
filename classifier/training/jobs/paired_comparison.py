"""Compares two models on the same frozen test images, without those that one of them was trained on.

Each part of the answer is compared by itself: the kind of fracture, and the finding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from classifier.core.jobs import watch
from classifier.core.leases import Lease
from classifier.core.ml_process import CommandFailed, MlProcess, read_json
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, TrainingRun
from ml.data.manifests import DatasetRefused, Manifest
from ml.serve.bundle import TRAINING_IMAGES, Bundle, have_same_kind

# Verdicts on the candidate, from the paired bootstrap interval of the balanced accuracy.
VERDICTS = {
    "better": Comparison.Verdict.BETTER,
    "worse": Comparison.Verdict.WORSE,
    "no difference shown": Comparison.Verdict.SAME,
}


@dataclass(frozen=True)
class TrainingImages:
    """The images that the kind of a model was trained on, including those of the models that it started from.

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
    def make(cls, manifest: Manifest, training_images: list[TrainingImages]) -> Self:
        """Leaves out each test group with an image that one of the models was trained on.

        Raises:
            DatasetRefused: no test image is left.
        """
        seen = frozenset[str]().union(*(images.checksums for images in training_images))
        test = manifest.subset("test")
        groups = {item.group for item in test if item.sha256 in seen}
        kept = [item for item in test if item.group not in groups]
        if not kept:
            raise DatasetRefused(
                "The models cannot be compared: one of them was trained on all of these test images."
            )
        rest = [item for item in manifest.items if item.split != "test"]
        held_out = Manifest.of(manifest.root, [*kept, *rest])
        is_known = all(images.is_known for images in training_images)
        return cls(held_out, len(test) - len(kept), is_known)


@dataclass(frozen=True)
class Candidate:
    """A bundle that is compared with a live one.

    Attributes:
        bundle: the bundle.
        images: the images that its kind of fracture was trained on.
        answers: file of its answers to the test images, if there is one.
    """

    bundle: Bundle
    images: TrainingImages
    answers: Path | None = None


def compare(
    candidate: Candidate,
    live: Bundle,
    live_version: ModelVersion,
    manifest: Manifest,
    *,
    work: Path,
    lease: Lease,
) -> dict[str, Any]:
    """Compares the parts that differ, and returns the fields of a Comparison that succeeded.

    Raises:
        DatasetRefused, CommandFailed: the kinds differ and cannot be compared.
    """
    fields: dict[str, Any] = {}
    if not have_same_kind(candidate.bundle, live):
        images = [candidate.images, TrainingImages.of(live_version)]
        test = HeldOutTestSet.make(manifest.with_kinds(), images)
        fields |= _compare_kinds(candidate.answers or candidate.bundle.path, live.path, test, work, lease)
    new, old = candidate.bundle.finding, live.finding
    if new is not None and old is not None and new.checksum != old.checksum:
        fields["finding"] = _compare_findings(new, old, manifest, work, lease)
    return fields


def _compare_kinds(
    candidate: Path, live: Path, test: HeldOutTestSet, work: Path, lease: Lease
) -> dict[str, Any]:
    """Runs `python -m ml compare`. In its result, a is the live model and b the candidate.

    Args:
        candidate, live: bundles, or files of answers.
    """
    table = work / "compared.csv"
    test.manifest.write(table)
    command: list[str | Path] = ["compare", live, candidate, table, "--images", test.manifest.root, "--json"]
    with MlProcess(command, work=work) as process:
        watch(process, lease, phase="compare")
    result: dict[str, Any] = read_json(process.output)
    return {
        "test_checksum": result["manifest_checksum"],
        "num_images": result["n"],
        "num_left_out": test.num_left_out,
        "is_origin_known": test.is_known,
        "verdict": VERDICTS[result["verdict"]],
        "result": result,
    }


def _compare_findings(
    candidate: Bundle, live: Bundle, manifest: Manifest, work: Path, lease: Lease
) -> dict[str, Any]:
    """Runs `python -m ml compare-finding`, and returns its result or, if it is refused, why."""
    if not any(item.finding for item in manifest.subset("test")):
        return {
            "error": "The data set of the comparison has no test X-rays that are known to be fractured or not."
        }
    table, out = work / "findings.csv", work / "finding.json"
    manifest.write(table)
    command: list[str | Path] = ["compare-finding", live.path, candidate.path, table]
    command += ["--images", manifest.root, "--out", out, "--jsonl"]
    try:
        with MlProcess(command, work=work) as process:
            watch(process, lease, phase="compare finding", fields_of=_step_fields)
    except CommandFailed as refused:
        return {"error": str(refused)}
    result: dict[str, Any] = read_json(out.read_text(encoding="utf-8"))
    return result


def _step_fields(event: dict[str, Any]) -> dict[str, Any]:
    return {"step": event["step"], "steps": event["steps"]}

"""Compares two models on the same frozen test images.

Each part of the answer is compared by itself: the kind of fracture, and the finding.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier.core.jobs import watch
from classifier.core.leases import Lease
from classifier.core.ml_process import CommandFailed, MlProcess, read_json
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.training.jobs.test_sets import (
    HeldOutTestSet,
    TrainingImages,
    largest_test_set,
    num_new_findings,
)
from ml.data.manifests import DatasetRefused, Manifest, shared_classes
from ml.serve.bundle import Bundle, have_same_kind


@dataclass(frozen=True)
class Candidate:
    """A bundle that is compared with a live one.

    Attributes:
        bundle: the bundle.
        images: the images that its kind of fracture was trained on.
        answers: file of its answers to the test images of `answered`, if there is one.
        answered: the data set version of these test images.
    """

    bundle: Bundle
    images: TrainingImages
    answers: Path | None = None
    answered: DatasetVersion | None = None


def compare(
    candidate: Candidate, live: Bundle, live_version: ModelVersion, *, work: Path, lease: Lease
) -> dict[str, Any]:
    """Compares the parts that differ, and returns the fields of a Comparison that succeeded.

    Each part is compared on the data set version with the most test images that both can be judged on.

    Raises:
        DatasetRefused, CommandFailed: the kinds differ and cannot be compared.
    """
    fields: dict[str, Any] = {}
    if not have_same_kind(candidate.bundle, live):
        fields |= _compare_kinds(candidate, live, live_version, work, lease)
    new, old = candidate.bundle.finding, live.finding
    if new is not None and old is not None and new.checksum != old.checksum:
        dataset, fields["finding"] = _compare_findings(new, old, work, lease)
        fields.setdefault("dataset_version", dataset)
    return fields


def _compare_kinds(
    candidate: Candidate, live: Bundle, live_version: ModelVersion, work: Path, lease: Lease
) -> dict[str, Any]:
    """Runs `python -m ml compare`. In its result, a is the live model and b the candidate."""
    classes = shared_classes(live.classes, candidate.bundle.classes)
    images = [candidate.images, TrainingImages.of(live_version)]

    def held_out(manifest: Manifest) -> HeldOutTestSet:
        return HeldOutTestSet.make(manifest, images, classes)

    dataset = largest_test_set(lambda manifest: len(held_out(manifest).manifest.subset("test")))
    if dataset is None:
        raise DatasetRefused(
            "The models cannot be compared: no data set has test images of a class that both know and that neither "
            "was trained on."
        )
    test = held_out(_unpack(dataset, lease))
    table = work / "compared.csv"
    test.manifest.write(table)
    new: Path | None = candidate.answers if candidate.answered == dataset else None
    command: list[str | Path] = ["compare", live.path, new or candidate.bundle.path, table]
    command += ["--images", test.manifest.root, "--json"]
    with MlProcess(command, work=work) as process:
        watch(process, lease, phase="compare")
    result: dict[str, Any] = read_json(process.output)
    return {
        "dataset_version": dataset,
        "test_checksum": result["manifest_checksum"],
        "num_images": result["n"],
        "num_left_out": test.num_left_out,
        "is_origin_known": test.is_known,
        "verdict": result["judgement"]["verdict"],
        "result": result,
    }


def _compare_findings(
    candidate: Bundle, live: Bundle, work: Path, lease: Lease
) -> tuple[DatasetVersion | None, dict[str, Any]]:
    """Runs `python -m ml compare-finding`, and returns the data set and the result or, if it is refused, why."""
    dataset = largest_test_set(lambda manifest: num_new_findings(manifest, candidate, live))
    if dataset is None:
        return None, {
            "error": "No data set has test X-rays that are known to be fractured or not and that are new to both "
            "findings."
        }
    manifest = _unpack(dataset, lease)
    table, out = work / "findings.csv", work / "finding.json"
    manifest.write(table)
    command: list[str | Path] = ["compare-finding", live.path, candidate.path, table]
    command += ["--images", manifest.root, "--out", out, "--jsonl"]
    try:
        with MlProcess(command, work=work) as process:
            watch(process, lease, phase="compare finding", fields_of=_step_fields)
    except CommandFailed as refused:
        return dataset, {"error": str(refused)}
    result: dict[str, Any] = read_json(out.read_text(encoding="utf-8"))
    return dataset, {**result, "dataset_version": dataset.pk}


def _unpack(dataset: DatasetVersion, lease: Lease) -> Manifest:
    return archives.unpack(dataset, lease.progress_callback("fetch", dataset.num_images))


def _step_fields(event: dict[str, Any]) -> dict[str, Any]:
    return {"step": event["step"], "steps": event["steps"]}

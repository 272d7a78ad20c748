"""Two models on the same frozen test images, less those that one of them learned from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from classifier.core.jobs import watch
from classifier.core.leases import Lease
from classifier.core.ml_process import MlProcess, read_json
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.models import Comparison, TrainingRun
from ml.data.manifests import DatasetRefused, Manifest
from ml.serve.bundle import TRAINING_IMAGES

# Of the candidate, beyond chance, by the paired bootstrap's interval of the balanced accuracy.
VERDICTS = {
    "better": Comparison.Verdict.BETTER,
    "worse": Comparison.Verdict.WORSE,
    "no difference shown": Comparison.Verdict.SAME,
}


@dataclass(frozen=True)
class Origin:
    """What a model learned from, back through the models it started from: the checksums of the images.

    `is_known` is False when it began as a model of which nobody can tell.
    """

    images: frozenset[str]
    is_known: bool

    @classmethod
    def of_run(cls, run: TrainingRun) -> Self:
        images = _learning_images(run.dataset_version)
        if run.start_version is None:
            return cls(images, True)
        earlier = cls.of(run.start_version)
        return cls(images | earlier.images, earlier.is_known)

    @classmethod
    def of(cls, version: ModelVersion) -> Self:
        if hasattr(version, "training_run"):
            return cls.of_run(version.training_run)
        listed = bundles.fetch(version).file(TRAINING_IMAGES)
        if listed.exists():
            return cls(frozenset(listed.read_text(encoding="ascii").split()), True)
        checksum = version.card.get("data", {}).get("manifest_sha256")
        same = DatasetVersion.objects.filter(checksum=checksum).first()
        return cls(_learning_images(same), True) if same else cls(frozenset(), False)


def _learning_images(dataset: DatasetVersion) -> frozenset[str]:
    """Also those that chose the best epoch and calibrate."""
    items = archives.read_manifest(dataset).items
    return frozenset(item.sha256 for item in items if item.split != "test")


@dataclass(frozen=True)
class FairTest:
    """A manifest of which neither model saw a test image in training, as far as is known."""

    manifest: Manifest
    num_left_out: int
    is_known: bool

    @classmethod
    def make(cls, manifest: Manifest, origins: list[Origin]) -> Self:
        """Leaves out each test group of which one of the models saw an image.

        Raises:
            DatasetRefused: no test image is left.
        """
        seen = frozenset[str]().union(*(origin.images for origin in origins))
        test = manifest.subset("test")
        groups = {item.group for item in test if item.sha256 in seen}
        kept = [item for item in test if item.group not in groups]
        if not kept:
            raise DatasetRefused(
                "The models cannot be compared: one of them was trained on all of these test images."
            )
        rest = [item for item in manifest.items if item.split != "test"]
        fair = Manifest.of(manifest.root, [*kept, *rest])
        return cls(fair, len(test) - len(kept), all(origin.is_known for origin in origins))


def compare(candidate: Path, live: Path, test: FairTest, *, work: Path, lease: Lease) -> dict[str, Any]:
    """Runs `python -m ml compare` on two bundles, or files of answers; the fields of a Comparison that succeeded.

    In its result, a is the live model and b the candidate.
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

"""Fits which images a finding bundle recognises as bone X-rays, and the lower threshold for those of other sources."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data import out_of_distribution_images
from ml.data.findings import Xray
from ml.data.folds import grouped_folds
from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import IMAGE_SUFFIXES, DatasetRefused, Manifest
from ml.evaluate.metrics import estimate_each
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.finding import FindingCalibration, map_score
from ml.serve.inference import LiteRTGraph
from ml.serve.out_of_distribution import Distribution, is_recognised
from ml.serve.preprocessing import InputSpec, SourceImage, preprocess
from ml.train.input_pipeline import TrainingRefused
from ml.train.out_of_distribution import FOLDS, Source, fit_sources

# Target share of the X-rays with findings that is not recognised.
REFUSED = 0.002
# The same for the fractures of other sources. Of them, some images are not X-rays.
REFUSED_OTHER_SOURCES = 0.02
# Target share of "no fracture seen" among the fractures of other sources.
MISSED_OTHER_SOURCES = 0.06


@dataclass(frozen=True)
class RecognitionData:
    """Images that only recognition is fitted on, besides the X-rays of the finding.

    Attributes:
        fractures: Files of X-rays from other sources. All show fractures.
        groups: Group of each of them.
        others: Files of medical images that are not bone X-rays, by kind. The group of an image is its file name up to
            the first hyphen.
    """

    fractures: tuple[Path, ...] = ()
    groups: tuple[str, ...] = ()
    others: Mapping[str, Sequence[Path]] = field(default_factory=dict)

    @classmethod
    def read(cls, manifest: Path | None, images: Path | None, others: Path | None) -> RecognitionData:
        """Reads a manifest and a folder with one subfolder per kind of other images.

        Raises:
            DatasetRefused: The manifest or the folder cannot be used.
        """
        fractures, groups, kinds = (), (), {}
        if manifest and images:
            read = Manifest.read(manifest, images)
            fractures, groups = zip(*[(read.file(item), item.group) for item in read.items], strict=True)
        if others:
            folders = sorted(path for path in others.glob("*") if path.is_dir())
            kinds = {
                folder.name: [path for path in sorted(folder.iterdir()) if path.suffix in IMAGE_SUFFIXES]
                for folder in folders
            }
            if not any(kinds.values()):
                raise DatasetRefused(f"{others} has no subfolder with images.")
        return cls(fractures, groups, kinds)


@dataclass(frozen=True, eq=False)
class Described:
    """Outputs of the serving graph for n images.

    Attributes:
        features: (n, d) float32.
        map_scores: (n,) float32, the log-sum-exp of the map.
        pooled: (n,) float32, the pooled logit of a fracture.
    """

    features: NDArray[np.float32]
    map_scores: NDArray[np.float32]
    pooled: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FittedRecognition:
    """What fit_recognition returns.

    Attributes:
        distribution: The distribution.
        calibration: Additional entries of the card's calibration.
        figures: Additional figures of the card.
    """

    distribution: Distribution
    calibration: dict[str, float]
    figures: dict[str, Any]


def fit_recognition(
    graph: bytes,
    spec: InputSpec,
    xrays: Sequence[Xray],
    data: RecognitionData,
    calibration: FindingCalibration,
    work: Path,
    seed: int,
    on_progress: ProgressCallback,
) -> FittedRecognition:
    """Fits and evaluates recognition on the outputs of a serving graph.

    Args:
        graph: The gzipped serving graph.
        spec: Preprocessing of the images.
        xrays: X-rays of the source on which the finding was calibrated.
        data: Other images.
        calibration: Calibration of the finding.
        work: Folder of the cache.
        seed: Seed of the folds.
        on_progress: Called with the progress.

    Raises:
        TrainingRefused: An image cannot be read.
    """
    loaded = LiteRTGraph(graph)
    key = hashlib.sha256(graph).hexdigest()

    def describe(paths: Sequence[Path]) -> Described:
        return _describe(loaded, key, spec, paths, work, on_progress)

    sources = [
        Source(describe([xray.path for xray in xrays]).features, [xray.group for xray in xrays], REFUSED)
    ]
    fractures = describe(data.fractures) if data.fractures else None
    if fractures is not None:
        sources.append(Source(fractures.features, data.groups, REFUSED_OTHER_SOURCES))
    kinds = [kind for kind, paths in data.others.items() for _ in paths]
    other_paths = [path for paths in data.others.values() for path in paths]
    others = describe(other_paths).features if other_paths else None
    fitted = fit_sources(sources, others, [path.stem.partition("-")[0] for path in other_paths], seed)
    recognised = {
        "x_rays": _refused(fitted.accepted[0]),
        **({"fractures_of_other_sources": _refused(fitted.accepted[1])} if fractures else {}),
        **{kind: _refused(fitted.others_accepted[np.array(kinds) == kind]) for kind in data.others},
        **_measure_pictures(loaded, spec, fitted.distribution),
    }
    if fractures is None:
        return FittedRecognition(fitted.distribution, {}, {"recognised": recognised})
    probabilities = calibration.probability(
        fractures.map_scores.astype(np.float64), fractures.pooled.astype(np.float64)
    )
    other = fitted.nearest[1] > 0
    threshold = _lower_threshold(probabilities[fitted.accepted[1] & other], calibration)
    found = _measure_fractures(probabilities, fitted.accepted[1], other, data.groups, calibration, seed)
    return FittedRecognition(
        fitted.distribution,
        {"not_seen_below_other_sources": threshold},
        {"recognised": recognised, "fractures_of_other_sources": found},
    )


def _lower_threshold(probabilities: NDArray[np.float64], calibration: FindingCalibration) -> float:
    """Returns the probability below which MISSED_OTHER_SOURCES of fractures lie, at most that of the calibration."""
    if len(probabilities) == 0:
        return calibration.not_seen_below
    found = float(np.quantile(probabilities, MISSED_OTHER_SOURCES, method="lower"))
    return min(found, calibration.not_seen_below)


def _measure_fractures(
    probabilities: NDArray[np.float64],
    recognised: NDArray[np.bool_],
    other: NDArray[np.bool_],
    groups: Sequence[str],
    calibration: FindingCalibration,
    seed: int,
) -> dict[str, Any]:
    """Returns the share of each finding among fractures, whose lower threshold comes from the other folds."""
    folds = grouped_folds(np.zeros(len(groups), np.int64), groups, min(FOLDS, len(set(groups))), seed)
    below = np.full(len(groups), calibration.not_seen_below)
    for fold in np.unique(folds):
        outside = (folds != fold) & recognised & other
        below[(folds == fold) & other] = _lower_threshold(probabilities[outside], calibration)
    seen = recognised & (probabilities >= calibration.seen_from)
    not_seen = recognised & (probabilities < below)
    shares = {
        "not_recognised": ~recognised,
        "fracture_seen": seen,
        "doubtful": recognised & ~seen & ~not_seen,
        "no_fracture_seen": not_seen,
        "no_fracture_seen_with_one_threshold": recognised & (probabilities < calibration.not_seen_below),
    }
    columns = np.stack(list(shares.values()), axis=1)
    estimates = estimate_each(lambda i: columns[i].mean(axis=0), groups, resamples=1000)
    return {
        "n": len(groups),
        "groups": len(set(groups)),
        **{
            name: {"value": one.value, "low": one.low, "high": one.high}
            for name, one in zip(shares, estimates, strict=True)
        },
    }


def _measure_pictures(
    graph: LiteRTGraph, spec: InputSpec, distribution: Distribution
) -> dict[str, dict[str, int]]:
    """Evaluates the distribution on images that nothing was fitted on."""
    pictures = {
        **out_of_distribution_images.render_images(),
        "photograph": out_of_distribution_images.load_photographs(),
    }
    return {
        kind: _refused(
            np.array(
                [
                    is_recognised(
                        SourceImage(pixels), graph.run(preprocess(pixels, spec))["features"], distribution
                    )
                    for pixels in images
                ],
                bool,
            )
        )
        for kind, images in pictures.items()
    }


def _refused(accepted: NDArray[np.bool_]) -> dict[str, int]:
    return {"refused": int((~accepted).sum()), "n": len(accepted)}


def _describe(
    graph: LiteRTGraph,
    key: str,
    spec: InputSpec,
    paths: Sequence[Path],
    work: Path,
    on_progress: ProgressCallback,
) -> Described:
    """Runs the graph on images, or reads its outputs from the cache."""
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    name = hashlib.sha256(json.dumps([key, spec.to_json(), digests]).encode()).hexdigest()[:16]
    cache = work / f"described-{name}.npz"
    if cache.exists():
        with np.load(cache, allow_pickle=False) as saved:
            return Described(*(saved[column] for column in Described.__dataclass_fields__))
    remaining = RemainingTime(len(paths))
    rows = []
    for number, path in enumerate(paths, start=1):
        try:
            outputs = graph.run(preprocess(read_image(path).pixels, spec))
        except (ImageRefused, OSError) as error:
            raise TrainingRefused(f"{path}: {error}") from error
        rows.append((outputs["features"], map_score(outputs["map"]), float(outputs["finding"][0])))
        if number % 50 == 0 or number == len(paths):
            on_progress(ProgressEvent("describe", 1, 1, number, len(paths), {}, remaining.estimate(number)))
    described = Described(*(np.array(column, np.float32) for column in zip(*rows, strict=True)))
    work.mkdir(parents=True, exist_ok=True)
    np.savez(cache, **described.__dict__)
    return described

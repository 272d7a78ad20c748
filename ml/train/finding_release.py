"""Recipe + X-rays -> finding bundle: cross-validate, fit, calibrate, export, and say in the card what it is."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.data import out_of_distribution_images
from ml.data.findings import PARTS, Box, Xray
from ml.data.folds import grouped_folds
from ml.evaluate.finding import Answered, figures
from ml.networks import finding as network
from ml.networks.finding import FindingRecipe
from ml.networks.recipes import PRETRAINED
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve import out_of_distribution
from ml.serve.bundle import TRAINING_IMAGES, Bundle, check_destination, write_bundle
from ml.serve.export import export_finding, export_keras, round_weights
from ml.serve.finding import FindingCalibration, Mark, map_score, peaks
from ml.serve.inference import LiteRTGraph
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import is_blank, preprocess, rescale
from ml.train.finding import FindingFit, Scores, fit, scores_of
from ml.train.finding_views import compute_views, fitted
from ml.train.input_pipeline import TrainingRefused
from ml.train.out_of_distribution import fit as fit_distribution
from ml.train.release import versions

# Share of the fractured X-rays of other groups that "no fracture seen" may miss, with room for chance on new ones.
MISSED = 0.06
# Share of the unfractured X-rays of other groups that may be "fracture seen".
ALARMED = 0.08
# Second and third marks are set down to a score that gives so many marks outside of boxes a picture.
FALSE_MARKS = 0.25
# Share of the X-rays trained on that are not recognised as such.
REFUSED = 0.002
FOLDS_OF_DISTRIBUTION = FOLDS_OF_CALIBRATION = 5
SCORE_NAMES = ("maps", "boxes", "pooled", "parts")


@dataclass(frozen=True)
class FindingRun:
    """What a run needs besides the recipe and the X-rays; see ml.train.learning.Run."""

    work: Path
    seed: int = 0
    weights: Path | None = None
    origin: dict[str, Any] | None = None
    tell: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class HeldOut:
    """X-rays scored by a network that did not learn from them.

    boxes: of each X-ray by their centres, in pixels of the input, whose side is size.
    """

    xrays: list[Xray]
    scores: Scores
    boxes: list[list[Box]]
    size: int

    @property
    def labels(self) -> NDArray[np.bool_]:
        return np.array([xray.fractured for xray in self.xrays])

    @property
    def groups(self) -> list[str]:
        return [xray.group for xray in self.xrays]

    def part(self, chosen: NDArray[np.intp]) -> HeldOut:
        """Returns those X-rays alone, by their positions."""
        numbers = chosen.tolist()
        scores = Scores(*(getattr(self.scores, name)[numbers] for name in SCORE_NAMES))
        return HeldOut(
            [self.xrays[number] for number in numbers],
            scores,
            [self.boxes[number] for number in numbers],
            self.size,
        )


def train_finding(recipe: FindingRecipe, xrays: Sequence[Xray], out: Path, run: FindingRun) -> Bundle:
    """Trains as the recipe says and writes a bundle; its figures come from networks that did not see the X-ray.

    Raises:
        TrainingRefused: the X-rays or the weights cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop said so; the same call resumes.
        FileExistsError: out holds something that is no bundle.
    """
    check_destination(out)
    started = time.monotonic()
    labels = np.array([xray.fractured for xray in xrays])
    try:
        folds = grouped_folds(labels.astype(np.int64), [xray.group for xray in xrays], recipe.folds, run.seed)
    except ValueError as error:
        raise TrainingRefused(str(error)) from error
    weights = run.weights or (PRETRAINED / recipe.pretrained if recipe.pretrained else None)
    frozen = network.split(_build(recipe, run, weights))[0]
    views = compute_views(frozen, xrays, recipe, run.seed, run.work, run.tell, run.should_stop)
    key = _key(recipe, xrays, run.seed, weights)
    usable = np.array([not xray.contradicted for xray in xrays])
    last = recipe.held_out if recipe.held_out > 1 else None
    remaining = RemainingTime(recipe.held_out + (last is not None))

    def fitted_to(
        name: str, number: int, train: NDArray[np.bool_]
    ) -> tuple[keras.Model, list[dict[str, float]]]:
        model = _build(recipe, run, weights)
        one = FindingFit(name, number, run.seed, run.work, key, remaining, run.tell, run.should_stop)
        return model, fit(model, recipe, views, xrays, np.flatnonzero(train & usable), one)

    scored: list[Scores] = []
    for fold in range(recipe.held_out):
        model, history = fitted_to(f"fold {fold + 1}", fold, folds != fold)
        learned_from = folds != fold
        scored.append(scores_of(model, views, np.flatnonzero(folds == fold)))
    if last is not None:
        model, history = fitted_to("train", last, np.ones(len(xrays), bool))
        learned_from = np.ones(len(xrays), bool)
    numbers = np.concatenate([np.flatnonzero(folds == fold) for fold in range(recipe.held_out)])
    held_out = HeldOut(
        [xrays[number] for number in numbers.tolist()],
        Scores(*(np.concatenate([getattr(part, name) for part in scored]) for name in SCORE_NAMES)),
        [views.boxes[views.rows[number][0]] for number in numbers.tolist()],
        recipe.input.size,
    )
    learned = [xray for xray, used in zip(xrays, learned_from & usable, strict=True) if used]
    facts = {
        "seed": run.seed,
        "data": {
            "learned_from": _counts(learned),
            "held_out": _counts(held_out.xrays),
            "left_out": int((~usable).sum()),
        },
        "training": {"losses": history, "seconds": round(time.monotonic() - started)},
        "started_from": {
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None
        },
        "origin": run.origin or {},
        "versions": versions(),
    }
    return release(model, recipe, xrays, learned, held_out, facts, out, run)


def release(
    model: keras.Model,
    recipe: FindingRecipe,
    xrays: Sequence[Xray],
    learned: Sequence[Xray],
    held_out: HeldOut,
    facts: Mapping[str, Any],
    out: Path,
    run: FindingRun,
) -> Bundle:
    """Calibrates, exports and writes a bundle.

    Args:
        model: its weights are rounded in place.
        xrays: what a picture is compared with to recognise it. learned: what the model learned from.
        facts: what the card says besides.
    """
    round_weights(model)
    graph = export_finding(model, recipe.input.size, network.DESCRIBED_BY)
    distribution, recognised = _distribution(graph, xrays, recipe, run)
    card = {
        "answers": "finding",
        "body_parts": list(PARTS),
        "input": recipe.input.to_json(),
        "architecture": "efficientnet_lite2 to block_19, with a map of boxes",
        "recipe": recipe.to_json(),
        "calibration": calibrate(held_out),
        "figures": {"held_out": figures(answered_by_others(held_out, run.seed)), "recognised": recognised},
        **facts,
    }
    digests = sorted({xray.sha256 for xray in learned})
    files = {
        "model.keras": export_keras(model),
        "serving.tflite.gz": graph,
        TRAINING_IMAGES: "".join(f"{digest}\n" for digest in digests).encode(),
        out_of_distribution.FILE: distribution.to_bytes(),
    }
    return write_bundle(out, files, card)


def calibrate(held_out: HeldOut) -> dict[str, Any]:
    """Returns a card's calibration."""
    labels, scores = held_out.labels, held_out.scores
    by_map = np.array([map_score(found) for found in scores.maps])
    weights = logistic_regression(np.stack([by_map, scores.pooled.astype(np.float64)], axis=1), labels)
    map_weight, pooled_weight, bias = (float(weight) for weight in weights)
    scale_only = FindingCalibration(map_weight, pooled_weight, bias, 1.0, 0.0, 1.0)
    probabilities = scale_only.probability(by_map, scores.pooled)
    seen_from = float(np.quantile(probabilities[~labels], 1 - ALARMED, method="higher"))
    not_seen_below = float(np.quantile(probabilities[labels], MISSED, method="lower"))
    return {
        "map_weight": map_weight,
        "pooled_weight": pooled_weight,
        "bias": bias,
        # Where few are missed and few alarmed at one threshold, nothing is doubtful.
        "seen_from": max(seen_from, not_seen_below),
        "not_seen_below": not_seen_below,
        "mark_from": _mark_from(held_out),
        "part_from": 0.5,
        "missed_aim": MISSED,
        "alarmed_aim": ALARMED,
        "share_of_fractured": float(labels.mean()),
        "n": len(labels),
        "groups": len(set(held_out.groups)),
    }


def answered_by_others(held_out: HeldOut, seed: int) -> Answered:
    """Returns each X-ray's answer, with a calibration and thresholds from the other groups."""
    groups, count = held_out.groups, len(held_out.xrays)
    folds = grouped_folds(
        held_out.labels.astype(np.int64), groups, min(FOLDS_OF_CALIBRATION, len(set(groups))), seed
    )
    probabilities = np.zeros(count)
    seen, not_seen, hits = (np.zeros(count, bool) for _ in range(3))
    for fold in np.unique(folds):
        others = held_out.part(np.flatnonzero(folds != fold))
        calibration = FindingCalibration.of({"calibration": calibrate(others)})
        for number in np.flatnonzero(folds == fold).tolist():
            scores, boxes = held_out.scores.maps[number], held_out.scores.boxes[number]
            probability = float(
                calibration.probability(map_score(scores), float(held_out.scores.pooled[number]))
            )
            probabilities[number] = probability
            name = calibration.name(probability)
            seen[number], not_seen[number] = name == "fracture seen", name == "no fracture seen"
            if name != "no fracture seen":
                mark = peaks(scores, boxes, held_out.size)[0]
                hits[number] = _in_a_box(mark, held_out.boxes[number])
    return Answered(held_out.xrays, probabilities, seen, not_seen, hits)


def logistic_regression(values: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Returns the weight of each column and the bias that make the labels likeliest, by Newton's method.

    Platt's targets (Platt 1999) keep the result finite where the labels are perfectly separated.
    """
    spread, middle = values.std(axis=0) + 1e-9, values.mean(axis=0)
    x = np.concatenate([(values - middle) / spread, np.ones((len(values), 1))], axis=1)
    positives, negatives = labels.sum(), (~labels).sum()
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        found = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        slope = x.T @ (found - targets) + 1e-3 * weights
        bend = (x * (found * (1 - found))[:, np.newaxis]).T @ x + 1e-3 * np.eye(len(weights))
        weights = weights - np.linalg.solve(bend, slope)
    scaled = weights[:-1] / spread
    return np.append(scaled, weights[-1] - scaled @ middle)


def _build(recipe: FindingRecipe, run: FindingRun, weights: Path | None) -> keras.Model:
    keras.utils.set_random_seed(run.seed)
    try:
        return network.build(None, weights, recipe.dropout)
    except (OSError, ValueError) as error:
        raise TrainingRefused(f"{weights} does not fit the recipe {recipe.name!r}.") from error


def _key(recipe: FindingRecipe, xrays: Sequence[Xray], seed: int, weights: Path | None) -> str:
    """Names the checkpoints: another recipe, other X-rays, seed or weights do not resume this run."""
    start = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else ""
    parts = [recipe.to_json(), seed, start, [[x.sha256, x.group, x.fractured, *x.boxes] for x in xrays]]
    return "finding-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _counts(xrays: Sequence[Xray]) -> dict[str, int]:
    return {
        "images": len(xrays),
        "fractured": sum(xray.fractured for xray in xrays),
        "groups": len({xray.group for xray in xrays}),
    }


def _mark_from(held_out: HeldOut) -> float:
    """Returns the lowest mark score at which marks outside of boxes number FALSE_MARKS a picture."""
    outside = []
    for scores, boxes, true in zip(held_out.scores.maps, held_out.scores.boxes, held_out.boxes, strict=True):
        outside += [mark.score for mark in peaks(scores, boxes, held_out.size) if not _in_a_box(mark, true)]
    allowed = int(FALSE_MARKS * len(held_out.xrays))
    return float(np.sort(outside)[::-1][min(allowed, len(outside) - 1)]) if outside else 1.0


def _in_a_box(mark: Mark, boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    x, y = mark.x + mark.width / 2, mark.y + mark.height / 2
    return any(abs(x - box[0]) <= box[2] / 2 and abs(y - box[1]) <= box[3] / 2 for box in boxes)


def _distribution(
    content: bytes, xrays: Sequence[Xray], recipe: FindingRecipe, run: FindingRun
) -> tuple[Distribution, dict[str, Any]]:
    """Fits what recognises an X-ray to the features of the served graph, and measures it on other pictures."""
    graph = LiteRTGraph(content)
    groups = [xray.group for xray in xrays]
    num_folds = min(FOLDS_OF_DISTRIBUTION, len(set(groups)))
    folds = grouped_folds(np.zeros(len(xrays), np.int64), groups, num_folds, run.seed)
    # The frozen layers that make the features learned from none of the X-rays.
    unseen = np.ones(len(xrays), bool)
    distribution, scores = fit_distribution(_features(graph, xrays, recipe, run), folds, unseen, REFUSED)
    refused = {"x_rays": {"refused": int((scores > distribution.threshold).sum()), "n": len(scores)}}
    pictures = {
        **out_of_distribution_images.render_images(),
        "photograph": out_of_distribution_images.load_photographs(),
    }
    for kind, found in pictures.items():
        outside = [
            is_blank(pixels)
            or not distribution.contains(graph.run(preprocess(pixels, recipe.input))["features"])
            for pixels in found
        ]
        refused[kind] = {"refused": int(sum(outside)), "n": len(found)}
    return distribution, refused


def _features(
    graph: LiteRTGraph, xrays: Sequence[Xray], recipe: FindingRecipe, run: FindingRun
) -> NDArray[np.float32]:
    remaining, features = RemainingTime(len(xrays)), []
    for number, xray in enumerate(xrays, start=1):
        features.append(graph.run(rescale(fitted(xray, recipe.input)[0], recipe.input))["features"])
        if number % 50 == 0 or number == len(xrays):
            run.tell(ProgressEvent("describe", 1, 1, number, len(xrays), {}, remaining.estimate(number)))
    return np.stack(features)

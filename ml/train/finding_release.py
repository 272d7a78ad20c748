"""Trains the finding network by a recipe, calibrates and evaluates it on held-out X-rays, and writes the bundle."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from ml.data.findings import BODY_PARTS, Box, Xray, list_digests
from ml.data.folds import grouped_folds
from ml.evaluate.body_part import body_part_figures, fit_body_part_rule
from ml.evaluate.finding import figures
from ml.evaluate.finding_calibration import Scored, answer_cross_fitted, calibrate, mark_threshold
from ml.networks import finding as network
from ml.networks.finding_recipes import FindingRecipe
from ml.networks.recipes import PRETRAINED
from ml.progress import ProgressCallback, RemainingTime
from ml.serve import out_of_distribution
from ml.serve.bundle import (
    CALIBRATION_IMAGES,
    CHECKSUMS,
    TRAINING_IMAGES,
    Bundle,
    check_destination,
    write_bundle,
)
from ml.serve.export import export_finding, export_keras, round_weights
from ml.serve.finding import BodyPartRule, FindingCalibration, Mark, map_score, name_body_part, peaks
from ml.serve.preprocessing import InputSpec
from ml.train.finding import FindingFit, fit
from ml.train.finding_features import compute_features
from ml.train.finding_predictions import Scores, scores_of
from ml.train.input_pipeline import TrainingRefused
from ml.train.recognition import RecognitionData, fit_recognition
from ml.train.release import versions

SCORE_NAMES = ("maps", "boxes", "pooled", "body_parts")


@dataclass(frozen=True)
class FindingRun:
    """Options of a training run besides the recipe and the X-rays, as in ml.train.cross_validation.RunOptions.

    Attributes:
        work: Folder for checkpoints and caches, from which a run resumes.
        seed: Seed of everything random.
        weights: File with pretrained weights, instead of the recipe's.
        origin: Licences and attributions of data and weights, for the card.
        recognition: Images of other sources that recognition is fitted on.
        on_progress: Called with the progress.
        should_stop: Called after each step; stops the run when it returns True.
    """

    work: Path
    seed: int = 0
    weights: Path | None = None
    origin: dict[str, Any] | None = None
    recognition: RecognitionData = field(default_factory=RecognitionData)
    on_progress: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions for X-rays by networks that were not trained on them.

    Attributes:
        xrays: The X-rays.
        scores: Outputs of the networks for the X-rays.
        boxes: (centre x, centre y, width, height) of the boxes of each X-ray, in pixels of the input.
        size: Side of the input in pixels.
    """

    xrays: list[Xray]
    scores: Scores
    boxes: list[list[Box]]
    size: int

    @property
    def shown_body_parts(self) -> NDArray[np.bool_]:
        """Which body parts each X-ray shows, bool (n, 4); none where they are unknown."""
        return np.array([xray.body_parts or [0] * len(BODY_PARTS) for xray in self.xrays], bool)

    def scored(self) -> Scored:
        """Returns the scores that a calibration is fitted to."""
        hits = [
            _is_in_a_box(peaks(scores, boxes, self.size)[0], true)
            for scores, boxes, true in zip(self.scores.maps, self.scores.boxes, self.boxes, strict=True)
        ]
        map_scores = np.array([map_score(found) for found in self.scores.maps])
        # The network is calibrated on one source.
        other_source = np.zeros(len(self.xrays), bool)
        return Scored(
            self.xrays, map_scores, self.scores.pooled.astype(np.float64), np.array(hits), other_source
        )


def train_finding(recipe: FindingRecipe, xrays: Sequence[Xray], out: Path, run: FindingRun) -> Bundle:
    """Trains by a recipe and writes a bundle. The metrics in its card are measured on held-out X-rays.

    Args:
        recipe: The recipe.
        xrays: The X-rays.
        out: Folder of the bundle.
        run: Options of the run.

    Raises:
        TrainingRefused: The X-rays or the weights cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop returned True; the same call resumes.
        FileExistsError: out exists and is not a bundle.
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
    features = compute_features(frozen, xrays, recipe, run.seed, run.work, run.on_progress, run.should_stop)
    key = _key(recipe, xrays, run.seed, weights)
    usable = np.array([not xray.contradicted for xray in xrays])
    final = recipe.held_out if recipe.held_out > 1 else None
    remaining = RemainingTime(recipe.held_out + (final is not None))

    def train_network(
        name: str, number: int, train: NDArray[np.bool_]
    ) -> tuple[keras.Model, list[dict[str, float]]]:
        model = _build(recipe, run, weights)
        options = FindingFit(
            name, number, run.seed, run.work, key, remaining, run.on_progress, run.should_stop
        )
        return model, fit(model, recipe, features, xrays, np.flatnonzero(train & usable), options)

    fold_scores: list[Scores] = []
    for fold in range(recipe.held_out):
        model, history = train_network(f"fold {fold + 1}", fold, folds != fold)
        in_training = folds != fold
        fold_scores.append(scores_of(model, features, np.flatnonzero(folds == fold)))
    if final is not None:
        model, history = train_network("train", final, np.ones(len(xrays), bool))
        in_training = np.ones(len(xrays), bool)
    numbers = np.concatenate([np.flatnonzero(folds == fold) for fold in range(recipe.held_out)])
    held_out = HeldOut(
        [xrays[number] for number in numbers.tolist()],
        Scores(*(np.concatenate([getattr(scores, name) for scores in fold_scores]) for name in SCORE_NAMES)),
        [features.boxes[features.rows[number][0]] for number in numbers.tolist()],
        recipe.input.size,
    )
    training_xrays = [xray for xray, used in zip(xrays, in_training & usable, strict=True) if used]
    facts = {
        "seed": run.seed,
        "data": {
            "learned_from": _counts(training_xrays),
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
    return release(model, recipe, xrays, training_xrays, held_out, facts, out, run)


def release(
    model: keras.Model,
    recipe: FindingRecipe,
    xrays: Sequence[Xray],
    training_xrays: Sequence[Xray],
    held_out: HeldOut,
    facts: Mapping[str, Any],
    out: Path,
    run: FindingRun,
) -> Bundle:
    """Calibrates and exports a trained network and writes the bundle.

    Args:
        model: The network. Its weights are rounded in place.
        recipe: The recipe.
        xrays: X-rays that the out-of-distribution score is fitted on.
        training_xrays: X-rays that the network was trained on.
        held_out: Predictions that calibrate the network and set the thresholds.
        facts: Additional entries of the card.
        out: Folder of the bundle.
        run: Options of the run.
    """
    round_weights(model)
    graph = export_finding(model, recipe.input.size, network.DESCRIBED_BY)
    scored = held_out.scored()
    calibration = calibrate(scored, mark_threshold(_false_marks(held_out), len(held_out.xrays)))
    recognition = fit_recognition(
        graph,
        recipe.input,
        xrays,
        run.recognition,
        FindingCalibration.of({"calibration": calibration}),
        run.work,
        run.seed,
        run.on_progress,
    )
    rule = fit_body_part_rule(held_out.shown_body_parts)
    card = {
        "answers": "finding",
        "body_parts": list(BODY_PARTS),
        "input": recipe.input.to_json(),
        "architecture": "efficientnet_lite2 to block_19, with a map of boxes",
        "recipe": recipe.to_json(),
        "calibration": {**calibration, **recognition.calibration},
        "body_part_rule": rule,
        "figures": {
            "held_out": figures(answer_cross_fitted(scored, run.seed)),
            "body_part": _body_part_figures(held_out, BodyPartRule(**rule)),
            **recognition.figures,
        },
        **facts,
    }
    files = {
        "model.keras": export_keras(model),
        "serving.tflite.gz": graph,
        TRAINING_IMAGES: list_digests(training_xrays),
        CALIBRATION_IMAGES: list_digests(held_out.xrays),
        out_of_distribution.FILE: recognition.distribution.to_bytes(),
    }
    return write_bundle(out, files, card)


def _body_part_figures(held_out: HeldOut, rule: BodyPartRule) -> dict[str, Any]:
    named = [name_body_part(logits, rule, BODY_PARTS) for logits in held_out.scores.body_parts]
    return body_part_figures(named, held_out.shown_body_parts)


def refit_recognition(
    bundle: Bundle,
    xrays: Sequence[Xray],
    data: RecognitionData,
    out: Path,
    work: Path,
    seed: int,
    origin: dict[str, Any] | None,
    on_progress: ProgressCallback,
) -> Bundle:
    """Writes a copy of a finding bundle whose recognition is fitted again.

    Args:
        bundle: The finding bundle. Its network, its calibration and the metrics of its findings are kept.
        xrays: X-rays of the source on which the finding was calibrated.
        data: Other images.
        out: Folder of the new bundle, which may be that of `bundle`.
        work: Folder of the cache.
        seed: Seed of the folds.
        origin: Licences and attributions of data and weights, for the card; None keeps those of `bundle`.
        on_progress: Called with the progress.

    Raises:
        TrainingRefused: An image cannot be read.
        FileExistsError: out exists and is not a bundle.
    """
    check_destination(out)
    card = bundle.card
    names = set(json.loads(bundle.file(CHECKSUMS).read_bytes())) - {"card.json"}
    files = {name: bundle.file(name).read_bytes() for name in sorted(names)}
    recognition = fit_recognition(
        files["serving.tflite.gz"],
        InputSpec(**card["input"]),
        xrays,
        data,
        FindingCalibration.of(card),
        work,
        seed,
        on_progress,
    )
    files[out_of_distribution.FILE] = recognition.distribution.to_bytes()
    calibration = {
        name: value for name, value in card["calibration"].items() if name != "not_seen_below_other_sources"
    }
    return write_bundle(
        out,
        files,
        {
            **card,
            "calibration": {**calibration, **recognition.calibration},
            "figures": {**card["figures"], **recognition.figures},
            "origin": card.get("origin", {}) if origin is None else origin,
        },
    )


def _build(recipe: FindingRecipe, run: FindingRun, weights: Path | None) -> keras.Model:
    keras.utils.set_random_seed(run.seed)
    try:
        return network.build(None, weights, recipe.dropout, recipe.width)
    except (OSError, ValueError) as error:
        raise TrainingRefused(f"{weights} does not fit the recipe {recipe.name!r}.") from error


def _key(recipe: FindingRecipe, xrays: Sequence[Xray], seed: int, weights: Path | None) -> str:
    """Returns the prefix of the checkpoint names. It changes with the recipe, X-rays, seed and pretrained weights."""
    weights_digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else ""
    parts = [
        recipe.to_json(),
        seed,
        weights_digest,
        [[x.sha256, x.group, x.fractured, *x.boxes] for x in xrays],
    ]
    return "finding-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _counts(xrays: Sequence[Xray]) -> dict[str, int]:
    return {
        "images": len(xrays),
        "fractured": sum(xray.fractured for xray in xrays),
        "groups": len({xray.group for xray in xrays}),
    }


def _false_marks(held_out: HeldOut) -> list[float]:
    """Returns the scores of the marks outside of the boxes."""
    return [
        mark.score
        for scores, boxes, true in zip(
            held_out.scores.maps, held_out.scores.boxes, held_out.boxes, strict=True
        )
        for mark in peaks(scores, boxes, held_out.size)
        if not _is_in_a_box(mark, true)
    ]


def _is_in_a_box(mark: Mark, boxes: Sequence[tuple[float, float, float, float]]) -> bool:
    x, y = mark.x + mark.width / 2, mark.y + mark.height / 2
    return any(abs(x - box[0]) <= box[2] / 2 and abs(y - box[1]) <= box[3] / 2 for box in boxes)

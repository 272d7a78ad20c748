"""Continues the training of a bundle's finding on a data set, and calibrates and evaluates the new network on it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from ml.data.findings import Xray, list_digests, xrays_of
from ml.data.image_limits import ImageRefused
from ml.data.manifests import Manifest
from ml.evaluate.finding import answer, figures
from ml.evaluate.finding_calibration import calibrate
from ml.evaluate.finding_comparison import leave_out_known
from ml.evaluate.finding_scores import fit_mark_threshold, join_scores, predict_scores
from ml.networks import finding as network
from ml.networks.finding_recipes import WIDTH, FindingRecipe
from ml.progress import ProgressCallback, RemainingTime
from ml.serve.bundle import (
    CALIBRATION_IMAGES,
    TRAINING_IMAGES,
    Bundle,
    BundleIncompatible,
    check_destination,
    write_bundle,
)
from ml.serve.export import export_finding, export_keras, load_keras, round_weights
from ml.serve.finding import FindingCalibration, FindingPredictor
from ml.serve.preprocessing import InputSpec
from ml.train.finding import FindingFit, fit
from ml.train.finding_features import compute_features
from ml.train.input_pipeline import TrainingRefused
from ml.train.release import versions


@dataclass(frozen=True)
class RetrainingRun:
    """Options of a retraining besides the recipe and the data.

    Attributes:
        work: Folder for checkpoints and caches, from which a run resumes.
        seed: Seed of everything random.
        origin: Licences and attributions of the data, for the card; None keeps those of the starting bundle.
        on_progress: Called with the progress.
        should_stop: Called after each step; stops the run when it returns True.
    """

    work: Path
    seed: int = 0
    origin: dict[str, Any] | None = None
    on_progress: ProgressCallback = lambda event: None
    should_stop: Callable[[], bool] = lambda: False


@dataclass(frozen=True)
class RetrainingData:
    """The X-rays of a data set whose finding is known, by split.

    Attributes:
        train: X-rays that the network is trained on.
        validation: X-rays that set the calibration and the thresholds.
        test: X-rays that the new finding is evaluated on.
        num_known: Number of validation and test X-rays that are left out, because the starting network was trained on
            an X-ray of their group.
    """

    train: list[Xray]
    validation: list[Xray]
    test: list[Xray]
    num_known: int

    @classmethod
    def of(cls, manifest: Manifest, start: Bundle) -> RetrainingData:
        """Splits the X-rays of a manifest."""
        learned = start.digests(TRAINING_IMAGES)
        train, validation, test = (
            xrays_of(manifest, manifest.subset(split)) for split in ("train", "validation", "test")
        )
        new = [leave_out_known(xrays, learned) for xrays in (validation, test)]
        num_known = len(validation) + len(test) - sum(map(len, new))
        return cls(train, new[0], new[1], num_known)

    def check(self, recipe: FindingRecipe) -> None:
        """Raises: TrainingRefused: there are too few X-rays or groups in a split."""
        missing = [
            f"{sum(xray.fractured for xray in xrays)} with and {sum(not xray.fractured for xray in xrays)} without a "
            f"fracture in {len({xray.group for xray in xrays})} groups for {split}"
            for split, xrays in (
                ("training", self.train),
                ("validation", self.validation),
                ("testing", self.test),
            )
            if not _is_enough(xrays, recipe)
        ]
        if missing:
            raise TrainingRefused(
                "This data set has too few X-rays with a known finding that are new to the model: "
                f"{'; '.join(missing)}. Each part needs at least {recipe.min_xrays} with and {recipe.min_xrays} "
                f"without a fracture, in at least {recipe.min_groups} groups."
            )


def _is_enough(xrays: Sequence[Xray], recipe: FindingRecipe) -> bool:
    num_fractured = sum(xray.fractured for xray in xrays)
    is_enough = min(num_fractured, len(xrays) - num_fractured) >= recipe.min_xrays
    return is_enough and len({xray.group for xray in xrays}) >= recipe.min_groups


def retrain_finding(
    recipe: FindingRecipe, bundle: Bundle, manifest: Manifest, out: Path, run: RetrainingRun
) -> Bundle:
    """Continues the training of a bundle's finding, and writes the bundle of the new finding.

    The layers up to ml.networks.finding.FROZEN do not change. Recognition depends on outputs within them, so the
    distribution of the starting bundle is kept. The calibration and the thresholds are fitted to the validation
    X-rays; the figures in the card are those of the test X-rays.

    Args:
        recipe: The recipe. Its input and width are replaced by those of the bundle.
        bundle: A bundle of the finding, or one that contains it.
        manifest: The data set. Fractures without boxes train the image-level outputs only.
        out: Folder of the new bundle.
        run: Options of the run.

    Raises:
        TrainingRefused: There are too few X-rays, or the network of the bundle is another one.
        BundleIncompatible: The bundle does not answer the finding.
        ml.train.fitting.TrainingStopped: run.should_stop returned True; the same call resumes.
        FileExistsError: out exists and is not a bundle.
    """
    start = bundle.finding or bundle
    if start.card.get("answers") != "finding":
        raise BundleIncompatible(f"{bundle.path} does not answer the finding, so it cannot be retrained.")
    check_destination(out)
    started = time.monotonic()
    data = RetrainingData.of(manifest, start)
    data.check(recipe)
    recipe = replace(
        recipe, input=InputSpec(**start.card["input"]), width=start.card["recipe"].get("width", WIDTH)
    )
    model = _load_network(start, recipe)
    frozen = network.split(model)[0]
    features = compute_features(
        frozen, data.train, recipe, run.seed, run.work, run.on_progress, run.should_stop
    )
    options = FindingFit(
        "train",
        0,
        run.seed,
        run.work,
        _key(recipe, data.train, run.seed, start),
        RemainingTime(1),
        run.on_progress,
        run.should_stop,
    )
    history = fit(model, recipe, features, data.train, np.arange(len(data.train)), options)
    facts = {
        "recipe": recipe.to_json(),
        "seed": run.seed,
        "data": {
            "manifest_sha256": manifest.checksum(),
            "learned_from": _counts(data.train),
            "validation": _counts(data.validation),
            "held_out": _counts(data.test),
            "left_out": data.num_known,
        },
        "training": {"losses": history, "seconds": round(time.monotonic() - started)},
        "started_from": {"bundle": start.checksum},
        "origin": start.card.get("origin", {}) if run.origin is None else run.origin,
        "versions": versions(),
    }
    try:
        return _release(model, recipe, start, data, facts, out, run)
    except ImageRefused as refused:
        raise TrainingRefused(f"A validation or test image cannot be read: {refused}") from refused


def _release(
    model: keras.Model,
    recipe: FindingRecipe,
    start: Bundle,
    data: RetrainingData,
    facts: dict[str, Any],
    out: Path,
    run: RetrainingRun,
) -> Bundle:
    """Calibrates, evaluates and writes the new finding."""
    round_weights(model)
    files = {
        **start.files(),
        "model.keras": export_keras(model),
        "serving.tflite.gz": export_finding(model, recipe.input.size, network.DESCRIBED_BY),
        TRAINING_IMAGES: _join_digests(start.file(TRAINING_IMAGES), list_digests(data.train)),
        CALIBRATION_IMAGES: list_digests(data.validation),
    }
    draft = write_bundle(run.work / "draft", files, start.card)
    card = {**start.card, **facts, "calibration": _calibrate(start, draft, data.validation, recipe, run)}
    draft = write_bundle(run.work / "draft", files, card)
    measured = figures(answer(FindingPredictor(draft), data.test, run.on_progress))
    # What was measured on images that are not recognised does not depend on the layers that changed.
    kept = {name: value for name, value in start.card.get("figures", {}).items() if name == "recognised"}
    return write_bundle(out, files, {**card, "figures": {"held_out": measured, **kept}})


def _calibrate(
    start: Bundle, draft: Bundle, xrays: Sequence[Xray], recipe: FindingRecipe, run: RetrainingRun
) -> dict[str, Any]:
    """Returns the calibration of the new network for its card."""
    pairs = zip(
        *(predict_scores(FindingPredictor(each), xrays, run.on_progress) for each in (start, draft)),
        strict=True,
    )
    recognised = [(one, other) for one, other in pairs if one.scores is not None and other.scores is not None]
    if not _is_enough([one.xray for one, _ in recognised], replace(recipe, min_groups=1)):
        raise TrainingRefused(
            f"Of {len(xrays)} validation X-rays, the model recognises only {len(recognised)} as X-rays of body parts "
            "that it was trained on. That is too few to calibrate it."
        )
    old = FindingCalibration.of(start.card)
    new = [other for _, other in recognised]
    scored = join_scores(new, join_scores([one for one, _ in recognised]))
    calibration = calibrate(scored, fit_mark_threshold(new, old.mark_from), old)
    if not calibration["map_weight"] and not calibration["pooled_weight"]:
        raise TrainingRefused(
            "The scores of the trained network are not higher for the validation X-rays with a fracture than for those "
            "without one. Check the labels."
        )
    return calibration


def _load_network(start: Bundle, recipe: FindingRecipe) -> keras.Model:
    model = network.build(None, None, recipe.dropout, recipe.width)
    try:
        model.set_weights(load_keras(start.file("model.keras")).get_weights())
    except ValueError as error:
        raise TrainingRefused(
            "The finding of this model has another network, so it cannot be retrained."
        ) from error
    return model


def _join_digests(listed: Path, new: bytes) -> bytes:
    known = set(listed.read_text(encoding="ascii").split()) if listed.exists() else set()
    return "".join(f"{digest}\n" for digest in sorted(known | set(new.decode().split()))).encode()


def _key(recipe: FindingRecipe, xrays: Sequence[Xray], seed: int, start: Bundle) -> str:
    """Returns the prefix of the checkpoint names. It changes with the recipe, X-rays, seed and starting bundle."""
    parts = [
        recipe.to_json(),
        seed,
        start.checksum,
        [[x.sha256, x.group, x.fractured, *x.boxes] for x in xrays],
    ]
    return "finding-" + hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _counts(xrays: Sequence[Xray]) -> dict[str, int]:
    return {
        "images": len(xrays),
        "fractured": sum(xray.fractured for xray in xrays),
        "with_boxes": sum(bool(xray.boxes) for xray in xrays),
        "groups": len({xray.group for xray in xrays}),
    }

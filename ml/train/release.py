"""Recipe + manifest -> bundle: learn, export, calibrate, measure, and say in the card what it is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ml import __version__
from ml.data.folds import grouped_folds
from ml.data.manifests import Manifest
from ml.networks.recipes import Recipe
from ml.serve import out_of_distribution
from ml.serve.bundle import TRAINING_IMAGES, Bundle, check_destination, open_bundle, write_bundle
from ml.serve.export import export_keras, export_litert, round_weights
from ml.serve.inference import Predictor, open_graph
from ml.train.cross_validation import (
    RunOptions,
    TrainedModel,
    encode_labels,
    initial_weights_file,
    train_model,
)
from ml.train.input_pipeline import decode_images
from ml.train.measuring import FOLDS, calibrate, fit_distribution, measure_test, measure_whole_bones


def train(recipe: Recipe, manifest: Manifest, out: Path, run: RunOptions) -> Bundle:
    """Trains on the manifest's train and validation parts and writes a bundle.

    The test part is measured when all else is settled, and changes nothing.

    Raises:
        ml.train.input_pipeline.TrainingRefused: the manifest, the weights or an image cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop said so; the same call resumes.
        FileExistsError: out holds something that is no bundle.
    """
    check_destination(out)
    tf.config.experimental.enable_op_determinism()
    # Found now rather than after the training: a test image that cannot be read.
    decode_images(manifest, manifest.subset("test"), recipe.input, run.work, run.on_progress)
    learned = train_model(recipe, manifest, run)
    round_weights(learned.model)
    graph = export_litert(learned.model, recipe.ood_layers, recipe.test_time_flip)
    files = {
        "model.keras": export_keras(learned.model),
        "serving.tflite.gz": graph,
    }
    if seen := images_learned_from(manifest, run.start):
        files[TRAINING_IMAGES] = seen
    calibration, held_out = calibrate(learned.held_out, run.seed)
    figures: dict[str, Any] = {"held_out": held_out}
    if fitted := _distribution(graph, recipe, manifest, run):
        files[out_of_distribution.FILE] = fitted[0].to_bytes()
        figures["in_distribution"] = fitted[1]
    card = _card(recipe, manifest, run, learned, calibration)
    # The rest is measured on what will be served.
    predictor = Predictor(write_bundle(run.work / "draft", files, card), "litert")
    if manifest.subset("test"):
        figures["test"] = measure_test(predictor, manifest, run.on_progress)
    if run.normal_images:
        figures["whole_bones"] = measure_whole_bones(predictor, run.normal_images, run.on_progress)
    return write_bundle(out, files, {**card, "figures": figures})


def _distribution(
    graph: bytes, recipe: Recipe, manifest: Manifest, run: RunOptions
) -> tuple[out_of_distribution.Distribution, dict[str, Any]] | None:
    items = [*manifest.subset("train"), *manifest.subset("validation")]
    images = decode_images(manifest, items, recipe.input, run.work, run.on_progress)
    labels, groups = encode_labels(items, manifest.classes), [item.group for item in items]
    folds = grouped_folds(labels, groups, min(FOLDS, len(set(groups))), run.seed)
    # What a trunk makes of an image it does not learn; other layers have seen the train part.
    unseen = np.array([recipe.backbone_output is not None or item.split == "validation" for item in items])
    return fit_distribution(open_graph(graph, "litert"), images, folds, unseen, recipe.input, run.on_progress)


def _card(
    recipe: Recipe, manifest: Manifest, run: RunOptions, learned: TrainedModel, calibration: dict[str, Any]
) -> dict[str, Any]:
    weights = initial_weights_file(recipe, run)
    return {
        "classes": manifest.classes,
        "input": recipe.input.to_json(),
        "architecture": recipe.architecture,
        "recipe": recipe.to_json(),
        "seed": run.seed,
        "calibration": calibration,
        "figures": {},
        "data": {
            "manifest_sha256": manifest.checksum(),
            **{part: len(manifest.subset(part)) for part in ("train", "validation", "test")},
        },
        "training": {"best_epoch": learned.progress.best_epoch, "epochs": _epochs(learned)},
        "started_from": {
            "weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None,
            "bundle": open_bundle(run.start).checksum if run.start else None,
        },
        "origin": run.origin or {},
        "versions": versions(),
    }


def _epochs(learned: TrainedModel) -> list[dict[str, float]]:
    """Returns the figures of each epoch; validation figures are means over the folds if there are any."""
    folds = [progress.history for progress in learned.fold_progress]
    means = [
        {
            name: float(np.mean([fold[epoch][name] for fold in folds]))
            for name in folds[0][epoch]
            if name != "loss"
        }
        for epoch in range(len(folds[0]) if folds else 0)
    ]
    history = learned.progress.history
    return [{**figures, **(means[epoch] if means else {})} for epoch, figures in enumerate(history)]


def images_learned_from(manifest: Manifest, start: Path | None) -> bytes | None:
    """Returns the SHA-256 of all images whose traces are in the weights, a line each.

    Those of the bundle that it started from count too; None when that bundle does not say its own.
    """
    seen = {item.sha256 for item in manifest.items if item.split != "test"}
    if start:
        earlier = start / TRAINING_IMAGES
        if not earlier.exists():
            return None
        seen |= set(earlier.read_text(encoding="ascii").split())
    return "".join(f"{digest}\n" for digest in sorted(seen)).encode()


def versions() -> dict[str, str]:
    """Returns the versions that a card names."""
    return {"callus": __version__, "keras": keras.__version__, "tensorflow": tf.__version__}

"""Makes a bundle from a recipe and a manifest: trains, exports, calibrates, evaluates, and writes the card."""

from __future__ import annotations

import hashlib
import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ml import __version__
from ml.data.folds import grouped_folds
from ml.data.manifests import Manifest
from ml.evaluate.answers import Answers, predict_test_images
from ml.evaluate.evaluation import figures_of
from ml.evaluate.unfractured import measure_unfractured
from ml.networks.recipes import Recipe
from ml.progress import ProgressCallback
from ml.serve.bundle import CHECKSUMS, TRAINING_IMAGES, Bundle, check_destination, open_bundle, write_bundle
from ml.serve.export import export_keras, export_litert, round_weights
from ml.serve.inference import Predictor, open_graph
from ml.serve.out_of_distribution import FILE as DISTRIBUTION
from ml.serve.out_of_distribution import Distribution
from ml.train.calibration import calibrate, num_folds
from ml.train.cross_validation import (
    HeldOutPredictions,
    RunOptions,
    TrainedModel,
    encode_labels,
    initial_weights_file,
    train_model,
)
from ml.train.input_pipeline import decode_images
from ml.train.out_of_distribution import fit_and_measure

# Predictions that calibrate the model, in the folder of the run's checkpoints.
HELD_OUT = "held_out.npz"


def train(
    recipe: Recipe, manifest: Manifest, out: Path, run: RunOptions, answers_file: Path | None = None
) -> Bundle:
    """Trains on the manifest's train and validation splits and writes a bundle.

    The test split is predicted last, and decides nothing.

    Args:
        out: the bundle's folder. An earlier bundle there is replaced.
        answers_file: where the answers for the test split are saved, for ml.evaluate.

    Raises:
        ml.train.input_pipeline.TrainingRefused: the manifest, the weights or an image cannot be used.
        ml.train.fitting.TrainingStopped: run.should_stop returned True; the same call resumes.
        FileExistsError: out holds something that is not a bundle.
    """
    check_destination(out)
    tf.config.experimental.enable_op_determinism()
    # A test image that cannot be read ends the run now instead of after the training.
    decode_images(manifest, manifest.subset("test"), recipe.input, run.work, run.on_progress)
    learned = train_model(recipe, manifest, run)
    learned.held_out.save(run.work / HELD_OUT)
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
    if fitted := _fit_distribution(graph, recipe, manifest, run):
        files[DISTRIBUTION] = fitted[0].to_bytes()
        figures["in_distribution"] = fitted[1]
    card = _card(recipe, manifest, run, learned, calibration)
    draft = write_bundle(run.work / "draft", files, card)
    evaluated, answers = _evaluate(draft, manifest, run.normal_images, run.on_progress)
    figures |= evaluated
    bundle = write_bundle(out, files, {**card, "figures": figures})
    if answers and answers_file:
        replace(answers, checksum=bundle.checksum, card=bundle.card).save(answers_file)
    return bundle


def recalibrate(
    bundle: Bundle,
    held_out: HeldOutPredictions,
    out: Path,
    manifest: Manifest | None,
    normal_images: Path | None,
    on_progress: ProgressCallback,
) -> Bundle:
    """Writes a copy of a bundle of the kind of fracture that is calibrated again; its network does not change.

    Args:
        bundle: The bundle. If it contains a bundle of the finding, that is not copied.
        held_out: Predictions of the networks of the cross-validation.
        out: Folder of the new bundle.
        manifest: Manifest whose test part is evaluated for the card.
        normal_images: Folder of X-rays without fractures, on which the model is evaluated for the card.
        on_progress: Called with the progress.
    """
    check_destination(out)
    calibration, figures = calibrate(held_out, bundle.card["seed"])
    names = set(json.loads(bundle.file(CHECKSUMS).read_bytes())) - {"card.json"}
    files = {name: bundle.file(name).read_bytes() for name in sorted(names) if "/" not in name}
    kept = {name: value for name, value in bundle.card["figures"].items() if name == "in_distribution"}
    card = {**bundle.card, "calibration": calibration, "figures": {"held_out": figures, **kept}}
    with tempfile.TemporaryDirectory() as temporary:
        draft = write_bundle(Path(temporary) / "draft", files, card)
        evaluated, _ = _evaluate(draft, manifest, normal_images, on_progress)
    return write_bundle(out, files, {**card, "figures": {**card["figures"], **evaluated}})


def _evaluate(
    draft: Bundle, manifest: Manifest | None, normal_images: Path | None, on_progress: ProgressCallback
) -> tuple[dict[str, Any], Answers | None]:
    """Returns the figures of a bundle on the test part and on normal X-rays, and the answers for the test part."""
    figures: dict[str, Any] = {}
    answers = None
    if manifest is not None and manifest.subset("test"):
        answers = predict_test_images(draft, manifest, on_progress, engine="litert", phase="measure")
        numbers = {"n": len(answers.items), "groups": len(set(answers.groups))}
        figures["test"] = {**numbers, **figures_of(answers)}
    if normal_images:
        figures["whole_bones"] = measure_unfractured(Predictor(draft, "litert"), normal_images, on_progress)
    return figures, answers


def _fit_distribution(
    graph: bytes, recipe: Recipe, manifest: Manifest, run: RunOptions
) -> tuple[Distribution, dict[str, Any]] | None:
    items = [*manifest.subset("train"), *manifest.subset("validation")]
    images = decode_images(manifest, items, recipe.input, run.work, run.on_progress)
    labels, groups = encode_labels(items, manifest.classes), [item.group for item in items]
    folds = grouped_folds(labels, groups, num_folds(groups), run.seed)
    # A frozen backbone was trained on none of the images; other layers were trained on the train split.
    unseen = np.array([recipe.backbone_output is not None or item.split == "validation" for item in items])
    return fit_and_measure(open_graph(graph, "litert"), images, folds, unseen, recipe.input, run.on_progress)


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
            **{split: len(manifest.subset(split)) for split in ("train", "validation", "test")},
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
    """Returns the figures of each epoch; with folds, validation figures are means over them."""
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
    """Returns the SHA-256 of all images that the weights were trained on, one a line.

    Args:
        start: the bundle that the run started from, whose images are included.

    Returns:
        The content of training_images.txt; None if that bundle does not list its images.
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

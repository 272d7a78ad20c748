"""The recipe "probe" fits a logistic regression to the features of a frozen network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from ml.__main__ import main
from ml.data.manifests import Manifest
from ml.networks.recipes import PROBE
from ml.progress import RemainingTime
from ml.serve.bundle import SHIPPED
from ml.serve.inference import Predictor
from ml.serve.preprocessing import InputSpec
from tests.lazy_module import LazyModule

cross_validation = LazyModule("ml.train.cross_validation")
keras = LazyModule("keras")
fitting = LazyModule("ml.train.fitting")
input_pipeline = LazyModule("ml.train.input_pipeline")
logistic_regression = LazyModule("ml.train.logistic_regression")
release = LazyModule("ml.train.release")

SIZES = [4, 8]


def fitted_logits(
    labels: np.ndarray, num_classes: int, features: np.ndarray, stop: bool = False
) -> np.ndarray:
    """Fits a last layer to two copies of features, float32 (2, n, d), and returns the logits of the first copy."""
    layer_input = keras.Input((sum(SIZES),))
    model = keras.Model(layer_input, keras.layers.Dense(num_classes, name="logits")(layer_input))
    examples = input_pipeline.Examples(
        features, np.eye(num_classes, dtype=np.float32)[labels], np.arange(len(labels)), InputSpec(32)
    )
    options = fitting.FitOptions(
        "train", Path("unused"), 0, lambda event: None, RemainingTime(1), should_stop=lambda: stop
    )
    every = np.arange(len(labels))
    logistic_regression.fit_logistic_regression(model, SIZES, 0.5, examples, every, every[:0], options)
    return np.asarray(model.predict_on_batch(features[0]))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_last_layer_gives_the_probabilities_of_a_logistic_regression(num_classes: int) -> None:
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(60) % num_classes)
    features = random.normal(3, [[[1.0] * 4 + [9.0] * 8]], (2, 60, 12)).astype(np.float32)
    features[:, :, 0] += labels
    found = softmax(fitted_logits(labels, num_classes, features))

    both = np.concatenate(features)
    scaled = (both - both.mean(0)) / both.std(0) / np.sqrt([4] * 4 + [8] * 8)
    expected = LogisticRegression(C=1 / (0.5 * 2), max_iter=1000, tol=1e-8).fit(scaled, np.tile(labels, 2))
    np.testing.assert_allclose(found, expected.predict_proba(scaled[:60]), atol=2e-3)
    assert (found.argmax(1) == labels).mean() > 1 / num_classes


def test_a_class_without_training_images_is_the_least_probable_one() -> None:
    random = np.random.default_rng(1)
    labels = np.arange(60) % 3
    logits = fitted_logits(labels, 4, random.normal(size=(2, 60, 12)).astype(np.float32))
    assert (logits.argmin(axis=1) == 3).all()


def test_a_stopped_run_fits_nothing() -> None:
    features = np.zeros((2, 6, 12), np.float32)
    with pytest.raises(fitting.TrainingStopped):
        fitted_logits(np.arange(6) % 2, 2, features, stop=True)


def test_the_recipe_learns_the_kind_of_fracture_and_calibrates_on_other_groups(
    drawn: Manifest, drawn_pixels: list[np.ndarray], tmp_path: Path
) -> None:
    # Smaller images and fewer folds, which take a tenth of the time.
    recipe = replace(PROBE, input=replace(PROBE.input, size=96), folds=2)
    bundle = release.train(recipe, drawn, tmp_path / "bundle", cross_validation.RunOptions(tmp_path / "work"))

    assert bundle.card["architecture"] == "efficientnet_lite2_multilayer"
    learned_from = len(drawn.subset("train")) + len(drawn.subset("validation"))
    assert bundle.card["figures"]["held_out"]["n"] == learned_from
    answers = Predictor(bundle).predict(drawn_pixels)
    tested = [
        (item, answer) for item, answer in zip(drawn.items, answers, strict=True) if item.split == "test"
    ]
    right = [
        max(answer.probabilities, key=answer.probabilities.__getitem__) == item.label
        for item, answer in tested
    ]
    assert np.mean(right) > 0.8


def test_the_recipe_has_no_epochs_and_starts_from_no_bundle(
    drawn: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn.write(tmp_path / "manifest.csv")
    command = [
        "train",
        str(tmp_path / "manifest.csv"),
        "--images",
        str(drawn.root),
        "--out",
        str(tmp_path / "bundle"),
    ]
    assert main([*command, "--recipe", PROBE.name, "--epochs", "3"]) == 1
    assert capsys.readouterr().err == "The recipe 'probe' trains without epochs and batches.\n"
    assert main([*command, "--recipe", PROBE.name, "--start", str(SHIPPED)]) == 1
    assert "cannot start from a bundle" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()

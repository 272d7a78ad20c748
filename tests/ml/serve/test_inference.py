"""Predictions agree with Keras, are calibrated, and name no class for images that are out of distribution."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.data.images import read_image
from ml.serve.bundle import SHIPPED, Bundle, open_bundle
from ml.serve.calibration import softmax
from ml.serve.inference import Predictor
from ml.serve.out_of_distribution import FILE
from ml.serve.preprocessing import InputSpec, preprocess
from tests.ml.drawings import draw_bone

BONES = [draw_bone(kind, seed) for kind in ("Transverse", "Comminuted") for seed in range(4)]


def keras_probabilities(bundle: Bundle, pixels: np.ndarray) -> np.ndarray:
    """Returns the probabilities computed with the bundle's Keras model and card, without its serving graph."""
    from ml.serve.export import load_keras

    image = preprocess(pixels, InputSpec(**bundle.card["input"]))
    recipe = bundle.card["recipe"]
    # The shipped card, which never changes, has the earlier name of the field.
    flip = recipe["test_time_flip"] if "test_time_flip" in recipe else recipe["mirror"]
    inputs = np.stack([image, image[:, ::-1]]) if flip else image[np.newaxis]
    logits = load_keras(bundle.file("model.keras")).predict_on_batch(inputs).mean(axis=0)
    return softmax(logits[np.newaxis], bundle.card["calibration"]["temperature"])[0]


@pytest.mark.parametrize("which", ["tiny", "shipped"])
def test_litert_agrees_with_keras(which: str, request: pytest.FixtureRequest) -> None:
    bundle = open_bundle(SHIPPED) if which == "shipped" else request.getfixturevalue("tiny_bundle")
    predictor = Predictor(bundle, "litert")
    for pixels in BONES[:3]:
        prediction = predictor.predict([pixels])[0]
        served = np.array([prediction.probabilities[name] for name in bundle.classes])
        np.testing.assert_allclose(served, keras_probabilities(bundle, pixels), atol=1e-3)


def test_openvino_agrees_with_litert() -> None:
    pytest.importorskip("openvino", reason="OpenVINO is not installed")
    bundle = open_bundle(SHIPPED)
    for one, other in zip(
        Predictor(bundle, "openvino").predict(BONES), Predictor(bundle, "litert").predict(BONES), strict=True
    ):
        for name, probability in one.probabilities.items():
            assert probability == pytest.approx(other.probabilities[name], abs=1e-3)


def test_probabilities_are_ordered_and_sum_to_one() -> None:
    bundle = open_bundle(SHIPPED)
    for prediction in Predictor(bundle).predict(BONES):
        values = list(prediction.probabilities.values())
        assert sorted(prediction.probabilities) == sorted(bundle.classes)
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1)
        assert prediction.confidence == values[0]
        assert prediction.prediction_set == list(prediction.probabilities)[: len(prediction.prediction_set)]
        assert prediction.prediction_set
        assert prediction.abstained == (values[0] < bundle.card["calibration"]["abstain_below"])


def test_colour_and_grey_images_give_the_same_prediction_alone_and_in_a_batch() -> None:
    predictor = Predictor(open_bundle(SHIPPED))
    grey, colour = predictor.predict([BONES[0], np.stack([BONES[0]] * 3, axis=-1)])
    assert grey.probabilities == colour.probabilities
    assert grey.probabilities == predictor.predict([BONES[0]])[0].probabilities


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((300, 200), np.uint8),
        np.full((300, 200), 255, np.uint8),
        np.random.default_rng(0).integers(0, 256, (256, 256), dtype=np.uint8),
        np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8),
    ],
    ids=["black", "white", "noise", "coloured noise"],
)
def test_no_class_is_named_for_images_that_are_not_x_rays(pixels: np.ndarray) -> None:
    prediction = Predictor(open_bundle(SHIPPED)).predict([pixels])[0]
    assert not prediction.in_distribution
    assert prediction.class_name is None


def test_no_class_is_named_for_a_blank_image_even_without_a_distribution(
    tiny_bundle: Bundle, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(tiny_bundle.path, tmp_path / "bundle"))
    (bundle / FILE).unlink(missing_ok=True)
    predictor = Predictor(replace(tiny_bundle, path=bundle))
    blank, bone = predictor.predict([np.zeros((300, 200), np.uint8), BONES[0]])
    assert (blank.in_distribution, blank.class_name) == (False, None)
    assert bone.in_distribution


def test_no_class_is_named_for_a_photograph() -> None:
    from matplotlib.cbook import get_sample_data

    photograph = read_image(Path(str(get_sample_data("grace_hopper.jpg", asfileobj=False))))
    assert Predictor(open_bundle(SHIPPED)).predict([photograph.pixels])[0].class_name is None


def test_real_x_rays_are_in_distribution(shared: Path) -> None:
    predictor = Predictor(open_bundle(SHIPPED))
    paths = sorted((shared / "data/bone-break").glob("*/Test/*.jpg"))[:100]
    predictions = [predictor.predict([read_image(path).pixels])[0] for path in paths]
    assert sum(prediction.in_distribution for prediction in predictions) >= 98


def test_a_model_without_calibration_still_predicts(tiny_bundle: Bundle) -> None:
    card = {
        **tiny_bundle.card,
        "calibration": {"temperature": 1.0, "conformal_threshold": 0.0, "abstain_below": 0.0},
    }
    prediction = Predictor(replace(tiny_bundle, card=card)).predict(BONES[:1])[0]
    assert not prediction.abstained
    assert sorted(prediction.prediction_set) == sorted(tiny_bundle.classes)


def test_predicting_does_not_import_tensorflow() -> None:
    code = """
import sys
from ml.serve.bundle import SHIPPED, open_bundle
from ml.serve.inference import Predictor
import numpy
Predictor(open_bundle(SHIPPED)).predict([numpy.zeros((64, 64), numpy.uint8)])
sys.exit(bool({"tensorflow", "keras", "django"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

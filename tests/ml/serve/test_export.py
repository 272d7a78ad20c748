"""Rounded weights compute the same function, and both files of a bundle contain the same weights."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from ml.serve.inference import open_graph
from tests.lazy_module import LazyModule

keras = LazyModule("keras")
architectures = LazyModule("ml.networks.architectures")
export = LazyModule("ml.serve.export")


@pytest.fixture(scope="module")
def model() -> keras.Model:
    """A network with batch normalization statistics, one dead filter and one with a negative gamma."""
    model = architectures.build_network("tiny_cnn", 32, 3)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = (
                random.uniform(0.2, 3, array.shape) for array in layer.get_weights()
            )
            gamma[0], gamma[1] = 0.0, -gamma[1]
            layer.set_weights([gamma, beta - 1, mean - 1, variance])
    model.get_layer("logits").set_weights([random.normal(size=(32, 3)), random.normal(size=3)])
    return model


def test_rounding_hardly_changes_the_predictions_and_both_files_agree(model: keras.Model) -> None:
    image = np.random.default_rng(1).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    before = model.predict_on_batch(image[np.newaxis])[0]
    export.round_weights(model)
    after = model.predict_on_batch(image[np.newaxis])[0]
    scale = np.abs(before).max()
    np.testing.assert_allclose(after, before, atol=5e-3 * scale)
    served = open_graph(export.export_litert(model, ("features",), flip=False), "litert").run(image)
    np.testing.assert_allclose(served["logits"], after, atol=1e-4 * scale)
    assert set(served) == {"logits", "features"}


def test_test_time_flip_gives_the_same_prediction_for_a_flipped_image(model: keras.Model) -> None:
    graph = open_graph(export.export_litert(model, ("relu_0", "features"), flip=True), "litert")
    image = np.random.default_rng(1).uniform(-1, 1, (32, 32, 3)).astype(np.float32)
    original, flipped = graph.run(image), graph.run(np.ascontiguousarray(image[:, ::-1]))
    np.testing.assert_allclose(original["logits"], flipped["logits"], atol=1e-4)
    assert original["features"].shape == (2 * 8 + 32,)


def test_the_keras_file_is_compressed_and_reproducible(model: keras.Model) -> None:
    content = export.export_keras(model)
    assert content == export.export_keras(model)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_BZIP2}

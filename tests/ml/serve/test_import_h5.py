"""An imported model of the original notebook predicts as in the notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.serve.bundle import open_bundle
from ml.serve.inference import Predictor
from tests.lazy_module import LazyModule
from tests.ml.drawings import draw_bone

keras = LazyModule("keras")


@pytest.fixture
def notebook_model() -> keras.Sequential:
    """The layers of the notebook's model, but smaller."""
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_an_imported_model_predicts_as_in_the_notebook(
    notebook_model: keras.Sequential, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook_model.save(tmp_path / "model.h5")
    arguments = [str(tmp_path / "model.h5"), "--out", str(tmp_path / "bundle"), "--classes", "A", "B", "C"]
    assert main(["import-h5", *arguments]) == 0
    assert "not calibrated" in capsys.readouterr().out
    bundle = open_bundle(tmp_path / "bundle")
    pixels = np.stack([draw_bone(), draw_bone() // 2, draw_bone() // 3], axis=-1)
    prediction = Predictor(bundle).predict([pixels])[0]
    resized = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
    there = notebook_model.predict_on_batch(np.asarray(resized, np.float32)[np.newaxis] / 255)[0]
    for name, probability in zip("ABC", there, strict=True):
        assert prediction.probabilities[name] == pytest.approx(float(probability), abs=2e-3)
    assert prediction.in_distribution
    assert prediction.prediction_set == list(prediction.probabilities)


@pytest.mark.parametrize("content", [b"", b"a letter", b"\x89HDF\r\n\x1a\n broken"])
def test_other_files_than_models_are_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    (tmp_path / "model.h5").write_bytes(content)
    assert main(["import-h5", str(tmp_path / "model.h5"), "--out", str(tmp_path / "bundle")]) == 1
    assert "is not a Keras HDF5 model" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_the_number_of_class_names_must_match_the_model(
    notebook_model: keras.Sequential, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook_model.save(tmp_path / "model.h5")
    assert main(["import-h5", str(tmp_path / "model.h5"), "--out", str(tmp_path / "bundle")]) == 1
    assert "The model has 3 classes, but 10 class names were given." in capsys.readouterr().err

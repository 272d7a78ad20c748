"""Imports a Keras HDF5 model of the original notebook as a bundle. Never use this for uploaded files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras

from ml.serve.bundle import Bundle, check_destination, write_bundle
from ml.serve.export import export_keras, export_litert, round_weights
from ml.serve.preprocessing import InputSpec


class ImportRefused(ValueError):
    """The file cannot be imported; str(error) is one sentence for the user."""


def import_h5(path: Path, out: Path, classes: Sequence[str]) -> Bundle:
    """Writes a bundle that predicts like the model in the file.

    Images are preprocessed as in the notebook: RGB, stretched to the square input, divided by 255. The bundle is not
    calibrated: its confidence is the softmax output, it never abstains, and it has no out-of-distribution score.

    Args:
        path: The HDF5 file.
        out: Folder of the bundle.
        classes: Names of the classes, in the order of the model's outputs.

    Raises:
        ImportRefused: The file is not a Sequential model from square RGB images to a softmax over these classes.
        FileExistsError: `out` exists and is not a bundle.
    """
    check_destination(out)
    model = _rename_layers(_load(path), classes)
    round_weights(model)
    files = {
        "model.keras": export_keras(model),
        "serving.tflite.gz": export_litert(model, ("features",), flip=False),
    }
    spec = InputSpec(model.input.shape[1], channels="rgb", fit="stretch", scale="0..1")
    card = {
        "classes": list(classes),
        "input": spec.to_json(),
        "architecture": model.name,
        "recipe": None,
        "calibration": {"temperature": 1.0, "conformal_threshold": 0.0, "abstain_below": 0.0, "n": 0},
        "figures": {},
        "data": {},
        "training": {},
        "origin": {"imported": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        "versions": {"keras": keras.__version__},
    }
    return write_bundle(out, files, card)


def _load(path: Path) -> keras.Model:
    if not path.is_file():
        raise ImportRefused(f"The file {path} does not exist.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # Keras raises many kinds of exceptions for invalid files.
    except Exception as error:
        raise ImportRefused(f"{path} is not a Keras HDF5 model, or contains custom code.") from error
    if not isinstance(model, keras.Sequential):
        raise ImportRefused(
            f"{path} contains a {type(model).__name__} model; only Sequential models are supported."
        )
    return model


def _rename_layers(model: keras.Sequential, classes: Sequence[str]) -> keras.Model:
    """Returns a copy of the model without the softmax, whose last two layers are "features" and "logits"."""
    shape, last = model.input_shape, model.layers[-1]
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ImportRefused(f"The model has inputs of shape {shape[1:]}; square RGB images are supported.")
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.softmax:
        raise ImportRefused("The last layer of the model is not a dense layer with softmax.")
    if last.units != len(classes):
        raise ImportRefused(f"The model has {last.units} classes, but {len(classes)} class names were given.")
    image = x = keras.Input(shape[1:], name="image")
    for number, layer in enumerate(model.layers):
        config = layer.get_config()
        if layer is last:
            config |= {"name": "logits", "activation": "linear"}
        elif number == len(model.layers) - 2:
            config |= {"name": "features"}
        copy = type(layer).from_config(config)
        x = copy(x)
        copy.set_weights(layer.get_weights())
    return keras.Model(image, x, name="imported")

"""A Keras HDF5 file, as the first published notebook saves its model, -> a bundle.

For an operator at the command line, who knows where the file comes from; never for an upload.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import keras

from ml.serve.bundle import Bundle, check_place, write_bundle
from ml.serve.export import keras_file, round_weights, serving_graph
from ml.serve.preprocessing import InputSpec


class ImportRefused(ValueError):
    """The file is no model that can be imported; str(error) is one sentence."""


def import_h5(path: Path, out: Path, classes: Sequence[str]) -> Bundle:
    """Writes a bundle that answers as the file's model does, on pictures prepared as it was taught.

    That is: RGB, stretched to the model's own square, divided by 255. The bundle is not calibrated:
    its confidence is the model's own, it abstains from nothing and knows no picture from another.

    Raises:
        ImportRefused: the file holds no sequence of layers from square RGB images to a softmax over
            as many classes.
        FileExistsError: out holds something that is no bundle.
    """
    check_place(out)
    model = _with_our_names(_load(path), classes)
    round_weights(model)
    files = {
        "model.keras": keras_file(model),
        "serving.tflite.gz": serving_graph(model, ("features",), mirror=False),
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
        raise ImportRefused(f"There is no file {path}.")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    # The reader raises whatever the file's content leads it into.
    except Exception as error:
        raise ImportRefused(f"{path} is no Keras model in HDF5, or needs code of its own.") from error
    if not isinstance(model, keras.Sequential):
        raise ImportRefused(
            f"{path} holds a {type(model).__name__} model; only Sequential ones are imported."
        )
    return model


def _with_our_names(model: keras.Sequential, classes: Sequence[str]) -> keras.Model:
    """Returns the same layers, the last two named "features" and "logits", without the softmax."""
    shape, last = model.input_shape, model.layers[-1]
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] != 3:
        raise ImportRefused(f"The model takes {shape[1:]}; square RGB images are expected.")
    if not isinstance(last, keras.layers.Dense) or last.activation is not keras.activations.softmax:
        raise ImportRefused("The model's last layer is no softmax over classes.")
    if last.units != len(classes):
        raise ImportRefused(f"The model has {last.units} classes, and {len(classes)} are named.")
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

"""Exports a Keras model as the files of a bundle: the Keras model and the LiteRT serving graph.

Weights are rounded first, so that both files contain the same numbers in few bits: the serving graph stores float16,
the Keras file float32, and trailing zero bits compress well.
"""

from __future__ import annotations

import gzip
import io
import json
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Smaller kernels, most of them in early layers, are rounded to float16 only: rounding them to eight bits as well would
# double the change of the predictions.
LARGE_KERNEL = 40_000
CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def load_keras(path: Path) -> keras.Model:
    """Loads the model.keras of a bundle. Keras's safe mode refuses code inside the file."""
    return keras.saving.load_model(path, compile=False, safe_mode=True)


def round_weights(model: keras.Model) -> None:
    """Rounds the weights of a model in place to numbers that float16 represents exactly.

    Kernels of at least LARGE_KERNEL weights keep eight bits per weight. The converter folds each batch normalization
    into the convolution before it, which multiplies the kernel by gamma / sqrt(variance + epsilon). That factor is
    first made a power of two, by scaling kernel, mean, variance and gamma together, so that folding keeps the rounding
    exact. The model computes the same function up to rounding, in training and in inference.
    """
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            _round_with_convolution(layer)
        elif isinstance(layer, (keras.layers.Dense, *CONVOLUTIONS)) and not _norm_after(layer):
            kernel, *bias = layer.get_weights()
            layer.set_weights([_rounded(layer, kernel), *(_float16(array) for array in bias)])


def export_keras(model: keras.Model) -> bytes:
    """Returns the content of model.keras, compressed. The same model always gives the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        buffer = io.BytesIO()
        with zipfile.ZipFile(path) as saved, zipfile.ZipFile(buffer, "w") as packed:
            for name in sorted(saved.namelist()):
                content = saved.read(name)
                if name.endswith(".json"):
                    content = json.dumps(_drop_volatile_keys(json.loads(content))).encode()
                entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
                # A quarter smaller than with deflate. LZMA makes it 2 % smaller still, in 16 times the time.
                packed.writestr(entry, content, zipfile.ZIP_BZIP2)
        return buffer.getvalue()


def export_litert(model: keras.Model, ood_layers: Sequence[str], flip: bool) -> bytes:
    """Converts a model to a gzipped LiteRT serving graph for one image. The same model always gives the same bytes.

    The input of the graph is "image", float32 (1, size, size, 3). Its outputs are

    - "logits": (1, classes);
    - "features": (1, d), the mean and the maximum over the positions of the outputs of ood_layers.

    Args:
        model: A model with the layers "features" and "logits" (ml.networks.architectures).
        ood_layers: Layers that describe an image for the out-of-distribution score.
        flip: Averages the outputs for the image and its left-right flip.

    Returns:
        The gzipped content of serving.tflite.
    """
    # The file contains the names of tensors, which are otherwise numbered across all models of the process.
    keras.utils.clear_session()
    outputs = {"logits": model.output, "features": _pool_layers(model, ood_layers)}
    network = keras.Model(model.input, outputs, name="serving")
    served = _average_over_flip(network) if flip else network
    return _pack(convert_to_litert(served, tuple(model.input.shape[1:]), float16=True))


def export_finding(model: keras.Model, size: int, described_by: Sequence[str]) -> bytes:
    """Returns the LiteRT graph of a finding network, gzipped, for one image, float32 (1, size, size, 3).

    Its outputs: those of ml.networks.finding.build, and "features" (1, d), as in export_litert.
    """
    keras.utils.clear_session()
    outputs = {**model.output, "features": _pool_layers(model, described_by)}
    network = keras.Model(model.input, outputs, name="serving")
    return _pack(convert_to_litert(network, (size, size, 3), float16=True))


def _average_over_flip(network: keras.Model) -> keras.Model:
    """Returns a model for one image that averages the outputs for the image and its left-right flip."""
    image = keras.Input(batch_shape=(1, *network.input.shape[1:]))
    both = network(keras.ops.concatenate([image, keras.ops.flip(image, axis=2)]))
    means = {name: keras.ops.mean(value, axis=0, keepdims=True) for name, value in both.items()}
    return keras.Model(image, means)


def convert_to_litert(network: keras.Model, shape: tuple[int, ...], *, float16: bool) -> bytes:
    """Converts a network to a LiteRT graph with the input "image", float32 (1, *shape), and the network's outputs.

    Args:
        network: Model with one input, whose outputs have names.
        shape: Height, width and channels of an image.
        float16: Stores the weights as float16, in half the space, instead of float32.
    """
    # Weights as constants: to write and read them as the variables of a SavedModel takes twice as long as all the
    # rest of the conversion.
    trainable = [variable.numpy() for variable in network.trainable_variables]
    others = [variable.numpy() for variable in network.non_trainable_variables]

    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(network.stateless_call(trainable, others, image, training=False)[0])

    image = tf.TensorSpec((1, *shape), tf.float32, name="image")
    module = tf.Module()
    module.serve = tf.function(serve, input_signature=[image])
    functions = [module.serve.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, module)
    if float16:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    return bytes(converter.convert())


def _pack(graph: bytes) -> bytes:
    """Returns the gzipped graph, without a timestamp: the same graph always gives the same bytes."""
    # Level 9 takes three times as long for 2 %.
    return gzip.compress(graph, 6, mtime=0)


def _drop_volatile_keys(value: Any) -> Any:
    """Returns the configuration of a saved model without dates and memory addresses."""
    if isinstance(value, dict):
        dropped = ("date_saved", "shared_object_id")
        return {key: _drop_volatile_keys(inner) for key, inner in value.items() if key not in dropped}
    return [_drop_volatile_keys(inner) for inner in value] if isinstance(value, list) else value


def _pool_layers(model: keras.Model, names: Sequence[str]) -> keras.KerasTensor:
    pooled = []
    for name in names:
        output = model.get_layer(name).output
        if len(output.shape) == 4:
            pooled += [keras.ops.mean(output, axis=(1, 2)), keras.ops.max(output, axis=(1, 2))]
        else:
            pooled.append(output)
    return pooled[0] if len(pooled) == 1 else keras.ops.concatenate(pooled, axis=-1)


def _rounded(layer: keras.layers.Layer, kernel: NDArray[Any]) -> NDArray[np.float32]:
    """Returns a kernel, (..., outputs); a large one as multiples of a power of two for each output."""
    if isinstance(layer, keras.layers.DepthwiseConv2D) or kernel.size < LARGE_KERNEL:
        return _float16(kernel)
    largest = np.abs(kernel).reshape(-1, kernel.shape[-1]).max(axis=0).astype(np.float64)
    # The smallest power of two that represents the largest weight in 127 steps; float16 ends at 2^-24.
    step = 2.0 ** np.ceil(np.log2(np.maximum(largest / 127, 2.0**-24)))
    rounded: NDArray[np.float32] = (np.round(kernel / step) * step).astype(np.float32)
    return rounded


def _float16(array: NDArray[Any]) -> NDArray[np.float32]:
    return array.astype(np.float16).astype(np.float32)


def _norm_after(layer: keras.layers.Layer) -> bool:
    following = [node.operation for node in layer._outbound_nodes]
    return any(isinstance(operation, keras.layers.BatchNormalization) for operation in following)


def _round_with_convolution(norm: keras.layers.BatchNormalization) -> None:
    convolution = norm.input._keras_history.operation
    if not isinstance(convolution, CONVOLUTIONS):
        return
    gamma, beta, mean, variance = (array.astype(np.float64) for array in norm.get_weights())
    kernel = convolution.get_weights()[0].astype(np.float64)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    power = np.sign(factor) * 2.0 ** np.round(np.log2(np.maximum(np.abs(factor), 2.0**-20)))
    power[power == 0] = 1.0
    scale = factor / power
    dead = scale == 0
    scale[dead] = 1.0
    shape = (1, 1, -1, 1) if isinstance(convolution, keras.layers.DepthwiseConv2D) else (1, 1, 1, -1)
    convolution.set_weights(
        [_rounded(convolution, kernel * scale.reshape(shape) * power.reshape(shape)) / power.reshape(shape)]
    )
    mean, variance = mean * scale, variance * scale**2
    gamma = np.where(dead, 0.0, power * np.sqrt(variance + norm.epsilon))
    beta = _float16(beta - mean * np.where(dead, 0.0, power)) + mean * np.where(dead, 0.0, power)
    norm.set_weights([array.astype(np.float32) for array in (gamma, beta, mean, variance)])

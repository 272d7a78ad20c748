"""EfficientNet-Lite2 (Tan & Le 2019; Liu 2020): EfficientNet with ReLU6 and without squeeze-and-excitation."""

from __future__ import annotations

import math
from pathlib import Path

import keras
import numpy as np
from keras import layers

# Repeats, kernel size, stride, expansion ratio and filters of EfficientNet-B0 (Tan & Le 2019, table 1).
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)

# Compound scaling of EfficientNet-Lite2. The stem and the last convolution are not scaled.
WIDTH_MULTIPLIER, DEPTH_MULTIPLIER = 1.1, 1.2
# Blocks of `folded_blocks`.
FOLDED = 20


def feature_maps(image: keras.KerasTensor) -> keras.KerasTensor:
    """Builds EfficientNet-Lite2 up to its last feature maps.

    The layers block_0, block_1, ... hold the outputs of the blocks.

    Args:
        image: float32 (batch, h, w, 3), values in [-1, 1].

    Returns:
        Feature maps, (batch, h / 32, w / 32, 1280).
    """
    x = _convolution(image, 32, 3, "stem", strides=2)
    for name, kernel, strides, expansion, filters in _blocks():
        x = _block(x, filters, kernel, strides, expansion, name)
    return _convolution(x, 1280, 1, "last")


def folded_blocks(image: keras.KerasTensor, width: float = WIDTH_MULTIPLIER) -> dict[str, keras.KerasTensor]:
    """Builds EfficientNet-Lite2 up to block_19, with each batch norm folded into the convolution before it.

    The function is the same as that of `feature_maps` with its batch norms frozen; a training step takes
    a fifth less time on a processor.

    Args:
        image: (batch, h, w, 3), values in [-1, 1].
        width: Multiplier of the number of filters; with another than that of Lite2, its weights do not fit.

    Returns:
        The blocks' outputs by name; in Lite2 block_6 is (batch, h / 8, w / 8, 48), block_10 (batch, h / 16, w / 16,
        88), block_14 the same with 120 features, and block_19 (batch, h / 32, w / 32, 208).
    """
    x = layers.ReLU(6, name="stem_relu")(layers.Conv2D(32, 3, 2, "same", name="stem")(image))
    outputs: dict[str, keras.KerasTensor] = {}
    for name, kernel, strides, expansion, filters in _blocks(width)[:FOLDED]:
        start = x
        if expansion > 1:
            x = layers.Conv2D(x.shape[-1] * expansion, 1, name=f"{name}_expand")(x)
            x = layers.ReLU(6, name=f"{name}_expand_relu")(x)
        x = layers.DepthwiseConv2D(kernel, strides, "same", name=f"{name}_depthwise")(x)
        x = layers.ReLU(6, name=f"{name}_depthwise_relu")(x)
        x = layers.Conv2D(filters, 1, name=f"{name}_project")(x)
        if strides == 1 and start.shape[-1] == filters:
            x = layers.Add(name=name)([start, x])
        outputs[name] = x
    return outputs


def load_folded(model: keras.Model, weights: Path) -> None:
    """Loads weights of `feature_maps` into those layers of a model that come from `folded_blocks`.

    Raises:
        ValueError: the weights are not of this network.
    """
    image = keras.Input((None, None, 3))
    source = keras.Model(image, feature_maps(image))
    source.load_weights(weights)
    for convolution in source.layers:
        if not isinstance(convolution, layers.Conv2D | layers.DepthwiseConv2D):
            continue
        norm = convolution._outbound_nodes[0].operation
        gamma, beta, mean, variance = norm.get_weights()
        factor = gamma / np.sqrt(variance + norm.epsilon)
        depthwise = isinstance(convolution, layers.DepthwiseConv2D)
        kernel = convolution.get_weights()[0] * (factor[:, np.newaxis] if depthwise else factor)
        try:
            folded = model.get_layer(convolution.name)
        except ValueError:
            # The model ends before the network does.
            continue
        folded.set_weights([kernel, beta - mean * factor])


def _blocks(width: float = WIDTH_MULTIPLIER) -> list[tuple[str, int, int, int, int]]:
    """Returns each block's name, kernel, stride, expansion and filters."""
    found: list[tuple[str, int, int, int, int]] = []
    for number, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        # The Lite networks do not scale the depth of the first and the last stage.
        if 0 < number < len(STAGES) - 1:
            repeats = math.ceil(repeats * DEPTH_MULTIPLIER)
        for repeat in range(repeats):
            strides = stride if repeat == 0 else 1
            name = f"block_{len(found)}"
            found.append((name, kernel, strides, expansion, _round_filters(filters * width)))
    return found


def _block(
    x: keras.KerasTensor, filters: int, kernel: int, strides: int, expansion: int, name: str
) -> keras.KerasTensor:
    start = x
    if expansion > 1:
        x = _convolution(x, x.shape[-1] * expansion, 1, f"{name}_expand")
    x = layers.DepthwiseConv2D(kernel, strides, "same", use_bias=False, name=f"{name}_depthwise")(x)
    x = layers.ReLU(6, name=f"{name}_depthwise_relu")(_norm(x, f"{name}_depthwise_norm"))
    x = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project")(x)
    keeps_shape = strides == 1 and start.shape[-1] == filters
    if not keeps_shape:
        return _norm(x, name)
    return layers.Add(name=name)([start, _norm(x, f"{name}_project_norm")])


def _convolution(
    x: keras.KerasTensor, filters: int, kernel: int, name: str, strides: int = 1
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False, name=name)(x)
    return layers.ReLU(6, name=f"{name}_relu")(_norm(x, f"{name}_norm"))


def _norm(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    # With the default of 0.99 the moving averages do not converge on a small data set.
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=name)(x)


def _round_filters(filters: float) -> int:
    """Returns the nearest multiple of 8 that is at least 90% of `filters`."""
    nearest = max(8, int(filters + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * filters else nearest

"""The network that detects and localises fractures.

The backbone is EfficientNet-Lite2 without its last blocks. A feature pyramid (Lin et al. 2017) merges its feature
maps at strides 32, 16 and 8 into a map of fracture logits and boxes at stride 8. The pooled features of its last
block give one fracture logit for the image and one logit for each body part.
"""

from __future__ import annotations

from pathlib import Path

import keras
from keras import layers

from ml.data.findings import BODY_PARTS
from ml.networks import efficientnet_lite
from ml.networks.finding_recipes import WIDTH

# The layers up to these blocks are frozen. Their outputs are computed once per copy of an X-ray and cached.
FROZEN = ("block_6", "block_10")
# Blocks whose pooled outputs are the features for out-of-distribution detection.
DESCRIBED_BY = ("block_5", "block_8")
# Stride of the output map: the side of a cell, in pixels of the input.
CELL = 8
# Boxes are predicted in units of this many pixels.
BOX_UNIT = 32


def build(
    size: int | None,
    weights: Path | None = None,
    dropout: float = 0.0,
    width: float = WIDTH,
) -> keras.Model:
    """Builds the finding network as a Functional model.

    Args:
        size: Side of the input in pixels, a multiple of 32; None for inputs of any size, including non-square ones.
        weights: File with weights of EfficientNet-Lite2 without its head, as in ml/networks/pretrained.
        dropout: Dropout rate of the pooled features during training.
        width: Multiplier of the number of filters of the backbone.

    Returns:
        A model from float32 (batch, size, size, 3) in [-1, 1] to a dict of float32 outputs:
        "map" (batch, size / 8, size / 8, 1): logit of a fracture in each cell.
        "box" (batch, size / 8, size / 8, 4): offset of the box centre from the cell centre (right, down) and natural
        logarithms of the box width and height, in units of BOX_UNIT pixels.
        "finding" (batch, 1): logit of a fracture anywhere in the image.
        "part" (batch, 4): logit of each of BODY_PARTS.
    """
    image = keras.Input((size, size, 3), name="image")
    blocks = efficientnet_lite.folded_blocks(image, width)
    fine, middle, deep = blocks["block_10"], blocks["block_14"], blocks["block_19"]
    x = _upsample(layers.Conv2D(96, 1, kernel_initializer=_kernel_initializer(), name="map_deep")(deep))
    x = layers.Add(name="map_sum")(
        [
            x,
            layers.Conv2D(96, 1, kernel_initializer=_kernel_initializer(), name="map_middle")(middle),
            layers.Conv2D(96, 1, kernel_initializer=_kernel_initializer(), name="map_fine")(fine),
        ]
    )
    x = _depthwise(layers.ReLU(6, name="map_sum_relu")(x), "map_depthwise")
    x = layers.Add(name="map_sum_2")(
        [
            _upsample(layers.Conv2D(64, 1, name="map_up")(x)),
            layers.Conv2D(64, 1, kernel_initializer=_kernel_initializer(), name="map_finest")(
                blocks["block_6"]
            ),
        ]
    )
    x = _depthwise(layers.ReLU(6, name="map_sum_2_relu")(x), "map_depthwise_2")
    x = layers.ReLU(6, name="map_mix_relu")(layers.Conv2D(64, 1, name="map_mix")(x))
    # Initial bias for rare positives, so that negative cells do not dominate the early loss (Lin et al. 2017).
    prior_bias = keras.initializers.Constant(-6.5)
    scores = layers.Conv2D(1, 1, kernel_initializer="zeros", bias_initializer=prior_bias, name="map")(x)
    boxes = layers.Conv2D(4, 1, kernel_initializer="zeros", name="box")(x)
    pooled = layers.ReLU(6, name="pool_mix_relu")(layers.Conv2D(320, 1, name="pool_mix")(deep))
    pooled = layers.Concatenate(name="pooled")(
        [
            layers.GlobalAveragePooling2D(name="pool_mean")(pooled),
            layers.GlobalMaxPooling2D(name="pool_max")(pooled),
        ]
    )
    pooled = layers.Dropout(dropout, name="dropout")(pooled)
    outputs = {
        "map": scores,
        "box": boxes,
        "finding": layers.Dense(1, kernel_initializer="zeros", name="finding")(pooled),
        "part": layers.Dense(len(BODY_PARTS), kernel_initializer="zeros", name="part")(pooled),
    }
    model = keras.Model(image, outputs, name="finding")
    if weights is not None:
        efficientnet_lite.load_folded(model, weights)
    return model


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Splits the network into two models that share its layers.

    Returns:
        The frozen backbone, from the image to [block_6, block_10], and the trainable layers, from there to the outputs.
    """
    features = [model.get_layer(name).output for name in FROZEN]
    return keras.Model(model.input, features), keras.Model(features, model.output)


def _upsample(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.UpSampling2D(2, interpolation="bilinear")(x)


def _depthwise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6, name=f"{name}_relu")(layers.DepthwiseConv2D(5, padding="same", name=name)(x))


def _kernel_initializer() -> keras.initializers.Initializer:
    # The outputs of the linear bottlenecks are several times larger than those of a normalised layer.
    return keras.initializers.VarianceScaling(0.3, "fan_in", "truncated_normal")

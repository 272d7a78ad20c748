"""The network of the finding: is a bone broken, and where. A function that returns a Functional Keras model.

EfficientNet-Lite2 without its last blocks. Its maps of 1/32, 1/16 and 1/8 of the input's side are joined into a map
of scores and boxes, as in a feature pyramid (Lin et al. 2017); its deepest features, pooled, give one score for
the picture and the body parts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ml.data.findings import PARTS
from ml.networks import efficientnet_lite
from ml.networks.recipes import XRAY_AUGMENTATION, Augmentation
from ml.serve.preprocessing import InputSpec

# Layers up to these are left as their weights came. Their outputs are computed once for each training picture.
FROZEN = ("block_6", "block_10")
# The pooled outputs of these tell whether a picture is like those trained on.
DESCRIBED_BY = ("block_5", "block_8")
# The side of a cell of the map, in pixels of the input.
CELL = 8
# Boxes are predicted in units of this many pixels.
BOX_UNIT = 32


@dataclass(frozen=True)
class Cycle:
    """A part of a training run in which the learning rate rises and falls once (Loshchilov & Hutter 2017).

    crop: the side of the random part of a view that a step learns from, in pixels, a multiple of 32. The part of a
        fractured X-ray holds the centre of a box.
    part_loss: the weight of the body parts' loss, beside 1 for the map's cells and for the pooled score.
    """

    steps: int
    crop: int
    part_loss: float = 0.2


@dataclass(frozen=True)
class FindingRecipe:
    """A training run of the finding.

    views: varied copies of each unfractured and of each fractured X-ray, besides the plain one.
    plain: how often a plain view is drawn. The same for both classes, or traces of the augmentation tell them apart.
    cycles: each begins with the average of the weights of the one before.
    fractured, unfractured: X-rays of each in a step.
    hard: how much more often an unfractured X-ray is drawn whose last score was high; 0 for not at all.
    box_loss, map_loss: weights of the boxes and of the map's log-sum-exp as a score of the picture.
    average: the decay of the moving average of the weights, which is what is kept (Polyak & Juditsky 1992).
    folds: the X-rays are cut into so many folds by group.
    held_out: how many of the folds are scored by a network that was trained on the others; these scores calibrate and
        choose the thresholds. With 1 that network is kept. With more, one is trained on all X-rays in the end.
    """

    name: str
    summary: str
    input: InputSpec
    views: tuple[int, int]
    cycles: tuple[Cycle, ...]
    fractured: int
    unfractured: int
    learning_rate: float
    warm_up: int = 40
    weight_decay: float = 0.02
    dropout: float = 0.3
    plain: float = 0.35
    hard: float = 1.0
    box_loss: float = 0.5
    map_loss: float = 0.5
    average: float = 0.99
    folds: int = 3
    held_out: int = 1
    augmentation: Augmentation = XRAY_AUGMENTATION
    pretrained: str | None = "efficientnet_lite2.imagenet.weights.h5"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


FRACTURE = FindingRecipe(
    name="fracture",
    summary="The upper half of an EfficientNet-Lite2 with a map, trained on parts of varied views.",
    # Most X-rays of FracAtlas have 454 pixels on their longer side.
    input=InputSpec(448, trim=True, contrast=True),
    views=(1, 3),
    # Small parts first: a step takes half the time.
    cycles=(Cycle(400, 256), Cycle(650, 320, part_loss=0.5)),
    fractured=6,
    unfractured=10,
    learning_rate=5e-4,
)

TINY_FRACTURE = FindingRecipe(
    name="tiny",
    summary="A few steps on small pictures; for tests and for trying the command line out.",
    input=InputSpec(96, contrast=True),
    views=(1, 1),
    cycles=(Cycle(2, 64), Cycle(2, 96)),
    fractured=2,
    unfractured=2,
    learning_rate=1e-3,
    warm_up=2,
    folds=2,
    pretrained=None,
)

# Takes four times as long; the network that is kept learns from all X-rays.
FRACTURE_CROSS = replace(
    FRACTURE, name="fracture_cross", summary="Cross-validated, then trained on all X-rays.", held_out=3
)
TINY_FRACTURE_CROSS = replace(TINY_FRACTURE, name="tiny_cross", held_out=2)

FINDING_RECIPES = {
    recipe.name: recipe for recipe in (FRACTURE, FRACTURE_CROSS, TINY_FRACTURE, TINY_FRACTURE_CROSS)
}


def build(size: int | None, weights: Path | None = None, dropout: float = 0.0) -> keras.Model:
    """Builds the network.

    Args:
        size: the side of the input in pixels, a multiple of 32; None for any, also other than square.
        weights: a file of EfficientNet-Lite2 without its head, as in ml/networks/pretrained.
        dropout: of the pooled features, while learning.

    Returns:
        A model from float32 (batch, size, size, 3) in [-1, 1] to a dict of float32 outputs:
        "map" (batch, size / 8, size / 8, 1), the logit of a fracture in each cell; "box" (..., 4), for a
        fracture there, the distance to its box's centre (right, down) and the logarithms of its width and
        height, in units of 32 pixels; "finding" (batch, 1), the logit of a fracture anywhere; "part"
        (batch, 4), a logit for each of PARTS.
    """
    image = keras.Input((size, size, 3), name="image")
    blocks = efficientnet_lite.folded_blocks(image)
    fine, middle, deep = blocks["block_10"], blocks["block_14"], blocks["block_19"]
    x = _doubled(layers.Conv2D(96, 1, kernel_initializer=_start(), name="map_deep")(deep))
    x = layers.Add(name="map_sum")(
        [
            x,
            layers.Conv2D(96, 1, kernel_initializer=_start(), name="map_middle")(middle),
            layers.Conv2D(96, 1, kernel_initializer=_start(), name="map_fine")(fine),
        ]
    )
    x = _depthwise(layers.ReLU(6, name="map_sum_relu")(x), "map_depthwise")
    x = layers.Add(name="map_sum_2")(
        [
            _doubled(layers.Conv2D(64, 1, name="map_up")(x)),
            layers.Conv2D(64, 1, kernel_initializer=_start(), name="map_finest")(blocks["block_6"]),
        ]
    )
    x = _depthwise(layers.ReLU(6, name="map_sum_2_relu")(x), "map_depthwise_2")
    x = layers.ReLU(6, name="map_mix_relu")(layers.Conv2D(64, 1, name="map_mix")(x))
    # Fractures are rare among cells: a bias so low keeps the first steps from being about that alone (Lin et al. 2017).
    rare = keras.initializers.Constant(-6.5)
    scores = layers.Conv2D(1, 1, kernel_initializer="zeros", bias_initializer=rare, name="map")(x)
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
        "part": layers.Dense(len(PARTS), kernel_initializer="zeros", name="part")(pooled),
    }
    model = keras.Model(image, outputs, name="finding")
    if weights is not None:
        efficientnet_lite.load_folded(model, weights)
    return model


def split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns the frozen layers, image -> [block_6, block_10], and those that learn, as models that share them."""
    cut = [model.get_layer(name).output for name in FROZEN]
    return keras.Model(model.input, cut), keras.Model(cut, model.output)


def _doubled(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.UpSampling2D(2, interpolation="bilinear")(x)


def _depthwise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return layers.ReLU(6, name=f"{name}_relu")(layers.DepthwiseConv2D(5, padding="same", name=name)(x))


def _start() -> keras.initializers.Initializer:
    # Features of a linear block are several times larger than a normalised layer's.
    return keras.initializers.VarianceScaling(0.3, "fan_in", "truncated_normal")

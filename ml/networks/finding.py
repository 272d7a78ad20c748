"""The network that detects and localises fractures, and the recipes that train it.

The backbone is EfficientNet-Lite2 without its last blocks. A feature pyramid (Lin et al. 2017) merges its feature
maps at strides 32, 16 and 8 into a map of fracture logits and boxes at stride 8. The pooled features of its last
block give one fracture logit for the image and one logit for each body part.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
from keras import layers

from ml.data.findings import BODY_PARTS
from ml.networks import efficientnet_lite
from ml.networks.recipes import XRAY_AUGMENTATION, Augmentation
from ml.serve.preprocessing import InputSpec

# The layers up to these blocks are frozen. Their outputs are computed once per copy of an X-ray and cached.
FROZEN = ("block_6", "block_10")
# Blocks whose pooled outputs are the features for out-of-distribution detection.
DESCRIBED_BY = ("block_5", "block_8")
# Stride of the output map: the side of a cell, in pixels of the input.
CELL = 8
# Boxes are predicted in units of this many pixels.
BOX_UNIT = 32


@dataclass(frozen=True)
class Cycle:
    """One cycle of the learning rate schedule: linear warm-up, then cosine decay (Loshchilov & Hutter 2017).

    Attributes:
        steps: Number of training steps.
        crop: Side of the random crop of each copy, in pixels; a multiple of 32. The crop of an X-ray with boxes
            contains the centre of one of them.
        part_loss: Weight of the body part loss. The losses of the map cells and of the pooled logit have weight 1.
    """

    steps: int
    crop: int
    part_loss: float = 0.2


@dataclass(frozen=True)
class FindingRecipe:
    """Hyperparameters and validation scheme of a training run of the finding network.

    Attributes:
        name: Unique name, as used on the command line.
        summary: One sentence for people who choose a recipe.
        input: Preprocessing of the images.
        views: Number of augmented copies of each unfractured and of each fractured X-ray, in addition to the
            unaugmented one.
        cycles: Learning rate cycles. Each starts from the averaged weights of the previous one.
        fractured: Number of fractured X-rays in a batch.
        unfractured: Number of unfractured X-rays in a batch.
        learning_rate: Maximum learning rate of each cycle.
        warm_up: Number of steps at the start of each cycle in which the learning rate rises linearly.
        weight_decay: Weight decay of AdamW. Biases are excluded.
        dropout: Dropout rate of the pooled features.
        plain: Probability of the unaugmented copy. Equal for both classes; otherwise the network could detect the class
            from augmentation artifacts.
        hard: Exponent of the hard-negative sampling weight; 0 disables it.
        box_loss: Weight of the box regression loss.
        map_loss: Weight of the image-level loss of the map's log-sum-exp.
        average: Decay of the moving average of the weights, which replaces them at the end of a cycle (Polyak &
            Juditsky 1992).
        folds: Number of folds into which the X-rays are split by group.
        held_out: Number of folds that are predicted by a network trained on the others. These predictions calibrate the
            model and set the thresholds. If 1, that network is released; otherwise a final network is trained on all
            X-rays.
        augmentation: Random transformations of the augmented copies.
        pretrained: File with pretrained backbone weights in ml/networks/pretrained; None for random weights.
        width: Multiplier of the number of filters of the backbone. Pretrained weights fit that of EfficientNet-Lite2.
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
    width: float = efficientnet_lite.WIDTH_MULTIPLIER

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


FRACTURE = FindingRecipe(
    name="fracture",
    summary="The upper half of an EfficientNet-Lite2 with a map, trained on crops of augmented copies.",
    # The longer side of most FracAtlas X-rays is 454 pixels.
    input=InputSpec(448, trim=True, contrast=True),
    views=(1, 3),
    # The smaller crops of the first cycle halve the time of a step.
    cycles=(Cycle(400, 256), Cycle(650, 320, part_loss=0.5)),
    fractured=6,
    unfractured=10,
    learning_rate=5e-4,
)

TINY_FRACTURE = FindingRecipe(
    name="tiny",
    summary="A few steps of a narrow network on small images, for tests and for trying the command line.",
    input=InputSpec(96, contrast=True),
    views=(1, 1),
    cycles=(Cycle(2, 64), Cycle(2, 96)),
    fractured=2,
    unfractured=2,
    learning_rate=1e-3,
    warm_up=2,
    folds=2,
    pretrained=None,
    width=0.5,
)

# Takes four times as long as FRACTURE. The released network is trained on all X-rays.
FRACTURE_CROSS = replace(
    FRACTURE, name="fracture_cross", summary="Cross-validated, then trained on all X-rays.", held_out=3
)
TINY_FRACTURE_CROSS = replace(TINY_FRACTURE, name="tiny_cross", held_out=2)

FINDING_RECIPES = {
    recipe.name: recipe for recipe in (FRACTURE, FRACTURE_CROSS, TINY_FRACTURE, TINY_FRACTURE_CROSS)
}


def build(
    size: int | None,
    weights: Path | None = None,
    dropout: float = 0.0,
    width: float = efficientnet_lite.WIDTH_MULTIPLIER,
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

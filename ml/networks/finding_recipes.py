"""Recipes of the finding network as data. Imports no Keras, so that the web process can list them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from ml.networks.recipes import XRAY_AUGMENTATION, Augmentation
from ml.serve.preprocessing import InputSpec

# Width multiplier of EfficientNet-Lite2.
WIDTH = 1.1


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
        min_xrays: Fewest X-rays with a fracture, and fewest without one, in each split of a retraining.
        min_groups: Fewest groups in each split of a retraining.
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
    width: float = WIDTH
    min_xrays: int = 30
    min_groups: int = 10

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

# These continue from the network of a bundle, whose input and width they keep. Its split replaces the folds.
FRACTURE_TUNE = replace(
    FRACTURE,
    name="fracture_tune",
    summary="Continues from the finding of the live model, on crops of augmented copies.",
    cycles=(Cycle(300, 320, part_loss=0.5),),
    learning_rate=1e-4,
    pretrained=None,
)
TINY_TUNE = replace(
    TINY_FRACTURE,
    name="tiny_tune",
    summary="Continues from the finding of the live model for a few steps. For trying these pages.",
    views=(0, 0),
    cycles=(Cycle(2, 64),),
    learning_rate=1e-4,
    min_xrays=2,
    min_groups=1,
)
RETRAINING_RECIPES = {recipe.name: recipe for recipe in (FRACTURE_TUNE, TINY_TUNE)}

# Takes four times as long as FRACTURE. The released network is trained on all X-rays.
FRACTURE_CROSS = replace(
    FRACTURE, name="fracture_cross", summary="Cross-validated, then trained on all X-rays.", held_out=3
)
TINY_FRACTURE_CROSS = replace(TINY_FRACTURE, name="tiny_cross", held_out=2)

FINDING_RECIPES = {
    recipe.name: recipe for recipe in (FRACTURE, FRACTURE_CROSS, TINY_FRACTURE, TINY_FRACTURE_CROSS)
}

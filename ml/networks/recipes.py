"""Training recipes: all hyperparameters of a training run as data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ml.serve.preprocessing import InputSpec

# Minimum number of calibration images that the starting weights were not trained on.
MIN_CALIBRATION_IMAGES = 50
PRETRAINED = Path(__file__).parent / "pretrained"


@dataclass(frozen=True)
class Augmentation:
    """Random transformations of training images. Each value is drawn uniformly from [-x, x].

    Attributes:
        flip: Flips half of the images left to right.
        rotate: Rotation in degrees.
        zoom: Natural logarithm of the zoom factor.
        shift: Horizontal and vertical translation, as a share of the side.
        stretch: Natural logarithm of the change of the aspect ratio (width / height).
        shear: Horizontal shear, as a share of the height.
        gamma: Natural logarithm of the gamma exponent.
        contrast: Relative change of the contrast about the mean.
        brightness: Change of the brightness, as a share of the value range.
        noise: Maximum standard deviation of Gaussian noise, as a share of the value range.
        blur: Probability of a 3 x 3 box blur.
    """

    flip: bool = False
    rotate: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    stretch: float = 0.0
    shear: float = 0.0
    gamma: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0
    blur: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """The architecture, input, optimizer and validation scheme of a training run.

    With folds = 0, a model is trained on the train split; the epoch with the lowest validation loss is kept, and
    the validation split calibrates it. With folds > 0, the train and validation splits are cross-validated by
    group: the predictions for each fold by a model trained on the other folds calibrate, and the final model is
    trained on both splits for all epochs.

    Attributes:
        name: Unique name, as used on the command line and in the portal.
        summary: One sentence for people who choose a recipe.
        architecture: Network to train (ml.networks.architectures).
        input: Preprocessing of the images.
        epochs: Maximum number of epochs.
        batch_size: Images per training step.
        learning_rate: Peak learning rate of all trained layers except the head.
        head_learning_rate: Peak learning rate of the last layer.
        schedule: "constant", or "cosine" with a linear warm-up during the first 8% of the steps.
        patience: Number of epochs without a lower validation loss after which training stops early.
        backbone_output: Name of the last layer of the frozen backbone; only the layers after it are trained. None
            trains all layers on the unaugmented images.
        views: Number of augmented copies of each image for which the output of the backbone is precomputed.
        augmentation: Random transformations for the augmented copies.
        mixup: Alpha of mixup's beta distribution (Zhang et al. 2018); 0 disables mixup.
        dropout: Dropout rate before the last layer.
        label_smoothing: Share of each target that is spread evenly over all classes.
        weight_decay: Weight decay of AdamW; not applied to biases and batch normalization.
        l2: Weight of the L2 penalty of a logistic regression that fits the last layer. Epochs, batch size and learning
            rates are then not used. 0 trains by epochs.
        balance: Exponent of balanced sampling: 0 draws images uniformly, 1 draws classes, and groups within a
            class, about equally often.
        freeze_batch_norm: Keeps the pretrained statistics, scale and offset of batch normalization.
        folds: Number of cross-validation folds; 0 uses the validation split.
        test_time_flip: Averages the predictions for an image and its left-right flip (test-time augmentation).
        dtype_policy: Keras dtype policy during training; the weights are stored as float32.
        pretrained: File in ml/networks/pretrained with the initial weights of the backbone; None for random ones.
        ood_layers: Layers whose pooled outputs are the features of the out-of-distribution score.
    """

    name: str
    summary: str
    architecture: Literal[
        "seed_cnn", "mobilenet_v2", "efficientnet_lite2", "efficientnet_lite2_multilayer", "tiny_cnn"
    ]
    input: InputSpec
    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    schedule: Literal["constant", "cosine"] = "cosine"
    patience: int = 1000
    backbone_output: str | None = None
    views: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixup: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    l2: float = 0.0
    balance: float = 0.0
    freeze_batch_norm: bool = False
    folds: int = 0
    test_time_flip: bool = False
    dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32"
    pretrained: str | None = None
    ood_layers: tuple[str, ...] = ("features",)

    def to_json(self) -> dict[str, Any]:
        """Returns the recipe as plain data for a bundle's card."""
        return asdict(self)


SEED_CNN = Recipe(
    name="seed_cnn",
    summary="The first network published for this data set: two convolutional layers, no augmentation.",
    architecture="seed_cnn",
    input=InputSpec(256, channels="rgb", fit="stretch", scale="0..1"),
    epochs=5,
    batch_size=10,
    learning_rate=5e-4,
    head_learning_rate=5e-4,
    schedule="constant",
    patience=5,
)

XRAY_INPUT = InputSpec(256, trim=True, contrast=True)

XRAY_AUGMENTATION = Augmentation(
    flip=True,
    rotate=20,
    zoom=0.25,
    shift=0.08,
    stretch=0.15,
    shear=0.1,
    gamma=0.35,
    contrast=0.25,
    brightness=0.1,
    noise=0.03,
    blur=0.15,
)

PROBE = Recipe(
    name="probe",
    summary="Logistic regression on layers of a frozen EfficientNet-Lite2, in minutes; made the shipped model.",
    architecture="efficientnet_lite2_multilayer",
    input=XRAY_INPUT,
    backbone_output="features",
    ood_layers=("block_5", "block_8"),
    epochs=1,
    batch_size=32,
    learning_rate=0.0,
    head_learning_rate=0.0,
    l2=2.0,
    folds=5,
    pretrained="efficientnet_lite2.imagenet.weights.h5",
)

TOP = Recipe(
    name="top",
    summary="Fine-tunes the upper half of MobileNetV2; smaller than efficient_top and nearly as accurate.",
    architecture="mobilenet_v2",
    input=XRAY_INPUT,
    backbone_output="block_9_add",
    ood_layers=("block_5_add", "block_9_add"),
    views=8,
    augmentation=XRAY_AUGMENTATION,
    epochs=10,
    batch_size=32,
    learning_rate=1e-3,
    head_learning_rate=3e-3,
    mixup=0.4,
    dropout=0.3,
    label_smoothing=0.1,
    weight_decay=0.02,
    balance=0.5,
    folds=5,
    test_time_flip=True,
    dtype_policy="mixed_bfloat16",
    pretrained="mobilenet_v2.imagenet.weights.h5",
)

EFFICIENT_TOP = Recipe(
    name="efficient_top",
    summary="Fine-tunes the upper half of EfficientNet-Lite2; takes the longest.",
    architecture="efficientnet_lite2",
    input=XRAY_INPUT,
    backbone_output="block_10",
    ood_layers=("block_5", "block_8"),
    views=8,
    augmentation=XRAY_AUGMENTATION,
    epochs=10,
    batch_size=32,
    learning_rate=3e-4,
    head_learning_rate=1e-3,
    mixup=0.4,
    dropout=0.3,
    label_smoothing=0.1,
    weight_decay=0.02,
    balance=0.5,
    freeze_batch_norm=True,
    folds=5,
    pretrained="efficientnet_lite2.imagenet.weights.h5",
)

TINY = Recipe(
    name="tiny",
    summary="A small network that trains in seconds, for tests and for trying out the command line.",
    architecture="tiny_cnn",
    input=InputSpec(48),
    backbone_output="relu_0",
    ood_layers=("relu_0", "relu_2"),
    views=2,
    augmentation=Augmentation(flip=True, rotate=5, zoom=0.05),
    epochs=8,
    batch_size=8,
    learning_rate=2e-2,
    head_learning_rate=2e-2,
    folds=2,
    test_time_flip=True,
)

# The recipe of the shipped model.
DEFAULT_RECIPE = PROBE.name

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (PROBE, EFFICIENT_TOP, TOP, SEED_CNN, TINY)}

"""What a training run is, as data: one entry a recipe, nothing hidden elsewhere."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ml.serve.preprocessing import InputSpec

# Of images that the weights a run starts from have not learned from, so many are enough to calibrate with.
ENOUGH_HELD_OUT = 50
PRETRAINED = Path(__file__).parent / "pretrained"


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied; each amount is drawn evenly between its negative and itself.

    flip: mirrored left to right, one time in two. rotate: degrees. zoom: a power of e. shift: share
    of the side. stretch: a power of e, of width over height. shear: share of the height. gamma: a
    power of e. contrast: about the mean, share of it. brightness: share of the range. noise: the
    largest standard deviation. blur: how often a 3 x 3 mean is taken.
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
    """A training run.

    trunk: the last layer that is left as its weights came. Its output is computed once for each
        image and for `views` varied copies; only the layers after it learn. None: all layers learn,
        from the images as they are.
    learning_rate, head_learning_rate: of the layers after the trunk, and of the last of them.
    schedule: "cosine" warms up over 8 % of the steps, then falls to 0; "constant" stays.
    mixup: the alpha of its beta distribution (Zhang et al. 2018); 0 for none.
    balance: 0 draws images as they are, 1 draws each class, and in it each group, about equally
        often; 0.5 lies between.
    freeze_norms: batch norms stay as their weights came, in what they scale by and shift by too.
    folds: 0 trains on the train part, keeps the epoch of the lowest validation loss, and calibrates
        on the validation part. Otherwise both parts are cut into so many folds by group, what is
        predicted for each fold by a model trained on the others calibrates, and the model itself
        learns from all of both for all epochs.
    patience: training stops when the validation loss has not improved for so many epochs.
    mirror: serving averages the picture and its mirror image.
    described_by: the layers whose pooled outputs tell whether a picture is like those trained on.
    precision: what layers compute in while they learn; the bundle is float32.
    pretrained: the file in ml/networks/pretrained that a run starts from unless it is given another start.
    """

    name: str
    summary: str
    architecture: Literal["seed_cnn", "mobilenet_v2", "efficientnet_lite2", "tiny_cnn"]
    input: InputSpec
    epochs: int
    batch_size: int
    learning_rate: float
    head_learning_rate: float
    schedule: Literal["constant", "cosine"] = "cosine"
    patience: int = 1000
    trunk: str | None = None
    views: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    mixup: float = 0.0
    dropout: float = 0.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    balance: float = 0.0
    freeze_norms: bool = False
    folds: int = 0
    mirror: bool = False
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    pretrained: str | None = None
    described_by: tuple[str, ...] = ("features",)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


SEED_CNN = Recipe(
    name="seed_cnn",
    summary="The first published network on this data set and its recipe: two convolutions, no care taken.",
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
    summary="A linear head on a frozen MobileNetV2: a minute or two, for a first look at a data set.",
    architecture="mobilenet_v2",
    input=XRAY_INPUT,
    trunk="out_relu",
    described_by=("block_5_add", "block_9_add"),
    views=2,
    augmentation=XRAY_AUGMENTATION,
    epochs=60,
    batch_size=32,
    learning_rate=1e-3,
    head_learning_rate=1e-3,
    patience=15,
    label_smoothing=0.1,
    weight_decay=0.02,
    balance=0.5,
    mirror=True,
    pretrained="mobilenet_v2.imagenet.weights.h5",
)

TOP = Recipe(
    name="top",
    summary="The upper half of a MobileNetV2 trained on varied views; smaller, and nearly as good.",
    architecture="mobilenet_v2",
    input=XRAY_INPUT,
    trunk="block_9_add",
    described_by=("block_5_add", "block_9_add"),
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
    mirror=True,
    precision="mixed_bfloat16",
    pretrained="mobilenet_v2.imagenet.weights.h5",
)

EFFICIENT_TOP = Recipe(
    name="efficient_top",
    summary="The upper half of an EfficientNet-Lite2 trained on varied views: the shipped model's own.",
    architecture="efficientnet_lite2",
    input=XRAY_INPUT,
    trunk="block_10",
    described_by=("block_5", "block_8"),
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
    freeze_norms=True,
    folds=5,
    pretrained="efficientnet_lite2.imagenet.weights.h5",
)

TINY = Recipe(
    name="tiny",
    summary="A small network that learns in seconds; for tests and for trying the command line out.",
    architecture="tiny_cnn",
    input=InputSpec(48),
    trunk="relu_0",
    described_by=("relu_0", "relu_2"),
    views=2,
    augmentation=Augmentation(flip=True, rotate=5, zoom=0.05),
    epochs=8,
    batch_size=8,
    learning_rate=2e-2,
    head_learning_rate=2e-2,
    folds=2,
    mirror=True,
)

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (EFFICIENT_TOP, TOP, PROBE, SEED_CNN, TINY)}

"""Network architectures as functional Keras models that return logits.

Every network has a layer "features" with one vector per image, and ends in a dense layer "logits" without
activation.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
from keras import layers

from ml.networks import efficientnet_lite

# Blocks whose outputs are features of "efficientnet_lite2_multilayer", besides the last layer.
MULTILAYER = ("block_10", "block_15", "block_19")


def build_network(
    architecture: str, size: int, num_classes: int, *, dropout: float = 0.0, weights: Path | None = None
) -> keras.Model:
    """Builds a network.

    Args:
        architecture: "seed_cnn", "mobilenet_v2", "efficientnet_lite2", "efficientnet_lite2_multilayer" or
            "tiny_cnn".
        size: Side of the square input in pixels.
        num_classes: Number of classes.
        dropout: Dropout rate before the last layer; ignored by "seed_cnn".
        weights: Weights file of the backbone (without the head) for "mobilenet_v2", in the format of
            keras.applications.MobileNetV2(include_top=False), or for both EfficientNet-Lite2, in the format of
            ml.networks.efficientnet_lite; None for random weights. Ignored by the other architectures.

    Returns:
        A model from preprocessed images, float32 (batch, size, size, 3), to logits, float32 (batch, num_classes).

    Raises:
        ValueError: The architecture is unknown, or the weights do not fit the network.
    """
    image = keras.Input((size, size, 3), name="image")
    if architecture == "seed_cnn":
        features, dropout = seed_cnn(image), 0.0
    elif architecture == "mobilenet_v2":
        features = mobilenet_v2(image, weights)
    elif architecture == "efficientnet_lite2":
        features = efficientnet_lite2(image, weights)
    elif architecture == "efficientnet_lite2_multilayer":
        features = efficientnet_lite2_multilayer(image, weights)
    elif architecture == "tiny_cnn":
        features = tiny_cnn(image)
    else:
        raise ValueError(f"Unknown architecture: {architecture!r}.")
    if dropout:
        features = layers.Dropout(dropout, name="dropout")(features)
    # A head of zeros predicts all classes equally, which disturbs pretrained weights least.
    initializer = "glorot_uniform" if architecture == "seed_cnn" else "zeros"
    logits = layers.Dense(num_classes, kernel_initializer=initializer, name="logits", dtype="float32")(
        features
    )
    return keras.Model(image, logits, name=architecture)


def split_at(model: keras.Model, layer_name: str) -> tuple[keras.Model, keras.Model]:
    """Splits a model into two models that share its layers.

    Args:
        model: A functional model.
        layer_name: Name of the last layer of the first part.

    Returns:
        The layers up to and including `layer_name`, and the layers after it.

    Raises:
        ValueError: The model has no such layer.
    """
    cut = model.get_layer(layer_name).output
    return keras.Model(model.input, cut), keras.Model(cut, model.output)


def seed_cnn(image: keras.KerasTensor) -> keras.KerasTensor:
    """Builds the first network that was published for the data set, up to its features.

    For 256 x 256 pixels and ten classes it has 1,792 + 73,856 (convolutions) + 62 x 62 x 128 x 40 + 40 (dense) + 410
    (head) = 19,757,378 parameters. The original softmax is left to the loss and to the calibration, which need logits.

    Args:
        image: float32 (batch, size, size, 3), values in [0, 1].

    Returns:
        Features, (batch, 40).
    """
    x = layers.Conv2D(64, 3, activation="relu", name="conv_0")(image)
    x = layers.MaxPooling2D(name="pool_0")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv_1")(x)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(40, activation="relu", name="features")(x)


def mobilenet_v2(image: keras.KerasTensor, weights: Path | None) -> keras.KerasTensor:
    """Builds MobileNetV2 (Sandler et al. 2018) up to its pooled features.

    Args:
        image: float32 (batch, size, size, 3), values in [-1, 1].
        weights: Weights file of keras.applications.MobileNetV2(include_top=False); None for random weights.

    Returns:
        Features, (batch, 1280).

    Raises:
        ValueError: The weights do not fit the network.
    """
    backbone = keras.applications.MobileNetV2(input_tensor=image, include_top=False, weights=None)
    if weights is not None:
        _load(backbone, weights)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # With the default of 0.999 the moving averages do not converge on a small data set.
            layer.momentum = 0.9
    return layers.GlobalAveragePooling2D(name="features")(backbone.output)


def feature_sizes(model: keras.Model) -> list[int]:
    """Returns the number of features of each pooled layer of "efficientnet_lite2_multilayer", in their order."""
    return [int(output.shape[-1]) for output in model.get_layer("features").input]


def efficientnet_lite2(image: keras.KerasTensor, weights: Path | None) -> keras.KerasTensor:
    """Builds EfficientNet-Lite2 (ml.networks.efficientnet_lite) up to its pooled features.

    Args:
        image: float32 (batch, size, size, 3), values in [-1, 1].
        weights: Weights file of the feature maps; None for random weights.

    Returns:
        Features, (batch, 1280).

    Raises:
        ValueError: The weights do not fit the network.
    """
    return layers.GlobalAveragePooling2D(name="features")(_efficientnet_lite2(image, weights).output)


def efficientnet_lite2_multilayer(image: keras.KerasTensor, weights: Path | None) -> keras.KerasTensor:
    """Builds EfficientNet-Lite2 up to the pooled outputs of several of its layers (Head2Toe, Evci et al. 2022).

    Args:
        image: float32 (batch, size, size, 3), values in [-1, 1].
        weights: Weights file of the feature maps; None for random weights.

    Returns:
        Features, (batch, 3568): the mean and the maximum of each feature map of MULTILAYER and of the last layer.

    Raises:
        ValueError: The weights do not fit the network.
    """
    network = _efficientnet_lite2(image, weights)
    maps = {name: network.get_layer(name).output for name in MULTILAYER} | {"last": network.output}
    pooled = [
        pooling(name=f"{name}_{kind}")(output)
        for name, output in maps.items()
        for kind, pooling in (("mean", layers.GlobalAveragePooling2D), ("max", layers.GlobalMaxPooling2D))
    ]
    return layers.Concatenate(name="features")(pooled)


def _efficientnet_lite2(image: keras.KerasTensor, weights: Path | None) -> keras.Model:
    network = keras.Model(image, efficientnet_lite.feature_maps(image))
    if weights is not None:
        _load(network, weights)
    return network


def _load(model: keras.Model, weights: Path) -> None:
    with warnings.catch_warnings():
        # Keras only warns about layers that are missing in the file, and leaves them random.
        warnings.simplefilter("error", UserWarning)
        try:
            model.load_weights(weights)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning


def tiny_cnn(image: keras.KerasTensor) -> keras.KerasTensor:
    """Builds a small convolutional network with batch normalization, for tests.

    Args:
        image: float32 (batch, size, size, 3).

    Returns:
        Features, (batch, 32).
    """
    x = image
    for number, filters in enumerate((8, 16, 32)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    return layers.GlobalAveragePooling2D(name="features")(x)

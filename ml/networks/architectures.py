"""The networks: functions that return a Functional Keras model from prepared images to logits.

Each has a layer "features", whose output describes the image as one vector, and ends in a dense
layer "logits" without activation. Where "features" is a global average pooling that feeds "logits"
directly, the class evidence can be mapped (ml/serve/saliency.py).
"""

from __future__ import annotations

import warnings
from pathlib import Path

import keras
from keras import layers

from ml.networks import efficientnet_lite


def build(
    architecture: str, size: int, num_classes: int, *, dropout: float = 0.0, weights: Path | None = None
) -> keras.Model:
    """Builds a network.

    Args:
        architecture: "seed_cnn", "mobilenet_v2", "efficientnet_lite2" or "tiny_cnn".
        size: the side of the input, which is float32 (batch, size, size, 3).
        dropout: before the last layer; not for seed_cnn.
        weights: a file of the network without its head: for mobilenet_v2 one for
            keras.applications.MobileNetV2(include_top=False), for efficientnet_lite2 one of
            ml.pretrained; not for the others.

    Returns:
        A model whose output is float32 logits, (batch, num_classes).

    Raises:
        ValueError: the weights do not fit the network, or there is no such architecture.
    """
    image = keras.Input((size, size, 3), name="image")
    if architecture == "seed_cnn":
        features, dropout = seed_cnn(image), 0.0
    elif architecture == "mobilenet_v2":
        features = mobilenet_v2(image, weights)
    elif architecture == "efficientnet_lite2":
        features = efficientnet_lite2(image, weights)
    elif architecture == "tiny_cnn":
        features = tiny_cnn(image)
    else:
        raise ValueError(f"There is no architecture {architecture!r}.")
    if dropout:
        features = layers.Dropout(dropout, name="dropout")(features)
    # From nothing, an evenly uncertain head moves a pretrained network least.
    start = "glorot_uniform" if architecture == "seed_cnn" else "zeros"
    logits = layers.Dense(num_classes, kernel_initializer=start, name="logits", dtype="float32")(features)
    return keras.Model(image, logits, name=architecture)


def split(model: keras.Model, trunk: str) -> tuple[keras.Model, keras.Model]:
    """Returns the layers up to the one named trunk, and those after it, as models that share them.

    Raises:
        ValueError: the model has no such layer.
    """
    cut = model.get_layer(trunk).output
    return keras.Model(model.input, cut), keras.Model(cut, model.output)


def seed_cnn(image: keras.KerasTensor) -> keras.KerasTensor:
    """The original network: 19,757,378 parameters for 256 x 256 pixels and ten classes.

    They add up as 1,792 (convolution of 64) + 73,856 (of 128) + 62 x 62 x 128 x 40 + 40 (dense) + 410.
    Its softmax is left to the loss and to the calibration, which divides the logits first.
    """
    x = layers.Conv2D(64, 3, activation="relu", name="conv_0")(image)
    x = layers.MaxPooling2D(name="pool_0")(x)
    x = layers.Conv2D(128, 3, activation="relu", name="conv_1")(x)
    x = layers.MaxPooling2D(name="pool_1")(x)
    x = layers.Flatten(name="flatten")(x)
    return layers.Dense(40, activation="relu", name="features")(x)


def mobilenet_v2(image: keras.KerasTensor, weights: Path | None) -> keras.KerasTensor:
    """MobileNetV2 (Sandler et al. 2018) up to its pooled features, (batch, 1280); input in [-1, 1]."""
    backbone = keras.applications.MobileNetV2(input_tensor=image, include_top=False, weights=None)
    if weights is not None:
        _load(backbone, weights)
    for layer in backbone.layers:
        if isinstance(layer, layers.BatchNormalization):
            # Keras's own 0.999 leaves the moving averages far behind on a small data set.
            layer.momentum = 0.9
    return layers.GlobalAveragePooling2D(name="features")(backbone.output)


def efficientnet_lite2(image: keras.KerasTensor, weights: Path | None) -> keras.KerasTensor:
    """EfficientNet-Lite2 up to its pooled features, (batch, 1280); input in [-1, 1]."""
    maps = efficientnet_lite.feature_maps(image)
    if weights is not None:
        _load(keras.Model(image, maps), weights)
    return layers.GlobalAveragePooling2D(name="features")(maps)


def _load(model: keras.Model, weights: Path) -> None:
    with warnings.catch_warnings():
        # Keras warns of layers that the file does not have, and leaves them as chance made them.
        warnings.simplefilter("error", UserWarning)
        try:
            model.load_weights(weights)
        except UserWarning as warning:
            raise ValueError(str(warning)) from warning


def tiny_cnn(image: keras.KerasTensor) -> keras.KerasTensor:
    """A small network of the same kind as MobileNetV2: convolutions with batch norm, then pooling."""
    x = image
    for number, filters in enumerate((8, 16, 32)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv_{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"norm_{number}")(x)
        x = layers.ReLU(name=f"relu_{number}")(x)
    return layers.GlobalAveragePooling2D(name="features")(x)

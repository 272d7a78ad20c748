"""Gradient-based class activation maps, for training reports and to check ml/saliency.py (Keras)."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray


def last_convolution(model: keras.Model) -> str:
    """Returns the name of the last layer whose output is a feature map, (batch, h, w, channels).

    Raises:
        ValueError: there is none.
    """
    for layer in reversed(model.layers):
        if len(layer.output.shape) == 4:
            return str(layer.name)
    raise ValueError(f"The model {model.name} has no feature map.")


def grad_cam(
    model: keras.Model, image: NDArray[np.float32], class_index: int, layer: str | None = None
) -> NDArray[np.float32]:
    """Returns where the evidence for a class lies (Grad-CAM, Selvaraju et al. 2017).

    Args:
        model: from images to logits.
        image: one prepared image, float32 (size, size, 3).
        layer: whose feature map is weighted by its gradients; the last one by default.

    Returns:
        float32 (h, w), the feature map's, not negative, not scaled.
    """
    features = model.get_layer(layer or last_convolution(model)).output
    network = keras.Model(model.input, [features, model.output])
    with tf.GradientTape() as tape:
        activations, logits = network(image[np.newaxis], training=False)
        score = logits[:, class_index]
    gradients = tape.gradient(score, activations)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    evidence = tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1))[0]
    return np.asarray(evidence, np.float32)

"""How training images are varied, in TensorFlow; the same seed gives the same variation."""

from __future__ import annotations

import math

import tensorflow as tf

from ml.networks.recipes import Augmentation


def vary(images: tf.Tensor, how: Augmentation, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Varies each image of a batch by amounts of its own.

    Args:
        images: uint8 (batch, side, side, channels).
        seed: an int64 pair.
        size: the side of the images returned, which show the same content.

    Returns:
        uint8 (batch, size, size, channels); black where nothing of the picture is.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    values = _moved(tf.cast(images, tf.float32) / 255.0, how, seeds[0], size)
    values = _toned(values, how, seeds[1])
    if how.noise or how.blur:
        values = _roughened(values, how, seeds[2])
    return tf.cast(tf.round(values * 255.0), tf.uint8)


def mix(inputs: tf.Tensor, targets: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each input and its target with its neighbour's in the batch (mixup, Zhang et al. 2018)."""
    mixed = inputs * share + tf.roll(inputs, 1, axis=0) * (1 - share)
    return mixed, targets * share + tf.roll(targets, 1, axis=0) * (1 - share)


def _draws(number: int, images: tf.Tensor, seed: tf.Tensor, low: float = -1.0) -> list[tf.Tensor]:
    drawn: list[tf.Tensor] = tf.unstack(
        tf.random.stateless_uniform((number, tf.shape(images)[0]), seed, low, 1.0)
    )
    return drawn


def _moved(images: tf.Tensor, how: Augmentation, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Mirrors, turns, scales, stretches, shears and shifts, in one affine transformation."""
    mirror, turn, zoom, stretch, shear, right, down = _draws(7, images, seed)
    angle, scale = turn * how.rotate * math.pi / 180, tf.exp(zoom * how.zoom)
    wider = tf.exp(stretch * how.stretch / 2)
    flip = tf.where(mirror < 0, -1.0, 1.0) if how.flip else tf.ones_like(mirror)
    # From a position in the result, counted from its middle, to one in the picture.
    a, b = tf.cos(angle) * wider / scale * flip, (shear * how.shear - tf.sin(angle)) / scale
    c, d = tf.sin(angle) / scale * flip, tf.cos(angle) / wider / scale
    ratio, middle, side = images.shape[1] / size, (size - 1) / 2, images.shape[1]
    x = (side - 1) / 2 + right * how.shift * side - ratio * middle * (a + b)
    y = (side - 1) / 2 + down * how.shift * side - ratio * middle * (c + d)
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a * ratio, b * ratio, x, c * ratio, d * ratio, y, zero, zero], axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _toned(images: tf.Tensor, how: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    gamma, contrast, brightness = (draw[:, None, None, None] for draw in _draws(3, images, seed))
    images = tf.clip_by_value(images, 1e-4, 1.0) ** tf.exp(gamma * how.gamma)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * (1 + contrast * how.contrast) + mean + brightness * how.brightness
    return tf.clip_by_value(images, 0.0, 1.0)


def _roughened(images: tf.Tensor, how: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    strength, blurred = (draw[:, None, None, None] for draw in _draws(2, images, seed, low=0.0))
    noise = tf.random.stateless_normal(tf.shape(images), seed) * strength * how.noise
    images = tf.clip_by_value(images + noise, 0.0, 1.0)
    smooth = tf.nn.avg_pool2d(images, 3, 1, "SAME")
    return tf.where(blurred < how.blur, smooth, images)

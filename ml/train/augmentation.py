"""Augments images in TensorFlow; the same seed gives the same augmentation."""

from __future__ import annotations

import math

import tensorflow as tf

from ml.networks.recipes import Augmentation


def augment(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor, size: int) -> tf.Tensor:
    """Transforms each image of a batch randomly and resizes it.

    Args:
        images: uint8 (batch, side, side, channels).
        augmentation: Ranges of the transformations.
        seed: int64 (2,).
        size: Side of the returned images in pixels.

    Returns:
        uint8 (batch, size, size, channels); black outside of the original image.
    """
    seeds = tf.unstack(tf.random.split(seed, 3))
    values = _transform_geometry(tf.cast(images, tf.float32) / 255.0, augmentation, seeds[0], size)
    values = _transform_intensity(values, augmentation, seeds[1])
    if augmentation.noise or augmentation.blur:
        values = _add_noise_and_blur(values, augmentation, seeds[2])
    return tf.cast(tf.round(values * 255.0), tf.uint8)


def mixup(inputs: tf.Tensor, targets: tf.Tensor, share: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Blends each input and its target with the next ones of the batch (mixup, Zhang et al. 2018).

    Args:
        inputs: float32 (batch, ...).
        targets: float32 (batch, classes).
        share: Scalar in [0, 1], the share of the original input and target.

    Returns:
        The blended inputs and targets, of the same shapes.
    """
    mixed = inputs * share + tf.roll(inputs, 1, axis=0) * (1 - share)
    return mixed, targets * share + tf.roll(targets, 1, axis=0) * (1 - share)


def _uniform(count: int, images: tf.Tensor, seed: tf.Tensor, low: float = -1.0) -> list[tf.Tensor]:
    """Returns `count` tensors of shape (batch,), drawn uniformly from [low, 1)."""
    values: list[tf.Tensor] = tf.unstack(
        tf.random.stateless_uniform((count, tf.shape(images)[0]), seed, low, 1.0)
    )
    return values


def _transform_geometry(
    images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor, size: int
) -> tf.Tensor:
    """Flips, rotates, zooms, stretches, shears and shifts in one affine transformation."""
    flip, rotate, zoom, stretch, shear, shift_x, shift_y = _uniform(7, images, seed)
    angle, scale = rotate * augmentation.rotate * math.pi / 180, tf.exp(zoom * augmentation.zoom)
    aspect = tf.exp(stretch * augmentation.stretch / 2)
    sign = tf.where(flip < 0, -1.0, 1.0) if augmentation.flip else tf.ones_like(flip)
    # Maps positions in the output to positions in the input, both relative to the centre.
    a, b = tf.cos(angle) * aspect / scale * sign, (shear * augmentation.shear - tf.sin(angle)) / scale
    c, d = tf.sin(angle) / scale * sign, tf.cos(angle) / aspect / scale
    ratio, centre, side = images.shape[1] / size, (size - 1) / 2, images.shape[1]
    x = (side - 1) / 2 + shift_x * augmentation.shift * side - ratio * centre * (a + b)
    y = (side - 1) / 2 + shift_y * augmentation.shift * side - ratio * centre * (c + d)
    zero = tf.zeros_like(a)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a * ratio, b * ratio, x, c * ratio, d * ratio, y, zero, zero], axis=1),
        output_shape=[size, size],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )


def _transform_intensity(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    gamma, contrast, brightness = (value[:, None, None, None] for value in _uniform(3, images, seed))
    images = tf.clip_by_value(images, 1e-4, 1.0) ** tf.exp(gamma * augmentation.gamma)
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * (1 + contrast * augmentation.contrast) + mean
    return tf.clip_by_value(images + brightness * augmentation.brightness, 0.0, 1.0)


def _add_noise_and_blur(images: tf.Tensor, augmentation: Augmentation, seed: tf.Tensor) -> tf.Tensor:
    strength, blur = (value[:, None, None, None] for value in _uniform(2, images, seed, low=0.0))
    noise = tf.random.stateless_normal(tf.shape(images), seed) * strength * augmentation.noise
    images = tf.clip_by_value(images + noise, 0.0, 1.0)
    return tf.where(blur < augmentation.blur, tf.nn.avg_pool2d(images, 3, 1, "SAME"), images)

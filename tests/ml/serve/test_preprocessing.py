"""Aspect ratios are kept, borders are trimmed, and values are in the range of the spec."""

from __future__ import annotations

import numpy as np
import pytest

from ml.serve.preprocessing import InputSpec, find_placement, preprocess, trim_and_resize
from tests.ml.drawings import draw_bone


@pytest.mark.parametrize("size", [(50, 350), (350, 61), (200, 200), (1500, 1100), (33, 40)])
def test_letterbox_keeps_the_aspect_ratio(size: tuple[int, int]) -> None:
    width, height = size
    pixels = np.full((height, width), 200, np.uint8)
    left, top, right, bottom = find_placement(pixels, InputSpec(128)).target
    assert max(right - left, bottom - top) == 128
    assert abs((right - left) / (bottom - top) - width / height) < 0.02 * width / height + 0.01
    fitted = trim_and_resize(pixels, InputSpec(128))
    assert fitted.shape == (128, 128, 1)
    assert (fitted[top:bottom, left:right] == 200).all()
    assert fitted.sum(dtype=int) == 200 * (right - left) * (bottom - top)


def test_stretch_fills_the_square_in_colour() -> None:
    pixels = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    prepared = preprocess(pixels, InputSpec(64, channels="rgb", fit="stretch", scale="0..1"))
    assert prepared.shape == (64, 64, 3)
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, np.broadcast_to(np.float32([10, 20, 30]) / 255, (64, 64, 3)))


def test_downsampling_is_antialiased() -> None:
    fine_lines = np.zeros((512, 512), np.uint8)
    fine_lines[:, ::2] = 255
    fitted = trim_and_resize(fine_lines, InputSpec(64)).astype(int)
    assert abs(fitted - 127).max() < 12


@pytest.mark.parametrize("scale", ["0..1", "-1..1"])
def test_values_fill_the_scale(scale: str) -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    prepared = preprocess(ramp, InputSpec(256, scale=scale))  # type: ignore[arg-type]
    low, high = (-1, 1) if scale == "-1..1" else (0, 1)
    assert prepared.min() == low
    assert prepared.max() == high
    np.testing.assert_array_equal(prepared[..., 0], prepared[..., 2])


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_uniform_borders_are_trimmed(grey: int) -> None:
    bone = draw_bone(size=(160, 224))
    framed = np.full((284, 260), grey, np.uint8)
    framed[30:254, 40:200] = bone
    spec = InputSpec(128, trim=True)
    left, top, right, bottom = find_placement(framed, spec).source
    inner = find_placement(bone, spec).source
    for found, expected in zip(
        (left, top, right, bottom),
        (inner[0] + 40, inner[1] + 30, inner[2] + 40, inner[3] + 30),
        strict=True,
    ):
        assert abs(found - expected) <= 6


def test_a_blank_image_can_be_trimmed_and_stretched() -> None:
    fitted = trim_and_resize(np.full((300, 200), 77, np.uint8), InputSpec(96, trim=True, contrast=True))
    assert fitted.shape == (96, 96, 1)


def test_contrast_stretching_restores_a_faint_image() -> None:
    bone = draw_bone()
    faint = (bone // 3 + 60).astype(np.uint8)
    spec = InputSpec(96, contrast=True)
    difference = trim_and_resize(faint, spec).astype(int) - trim_and_resize(bone, spec)
    assert np.abs(difference).mean() < 4


def test_contrast_is_stretched_from_the_first_to_the_last_percentile() -> None:
    random = np.random.default_rng(0)
    for darkest, brightest in ((0, 256), (40, 90), (7, 8)):
        pixels = random.integers(darkest, brightest, (64, 64), np.uint8)
        low, high = np.percentile(pixels, (1, 99))
        expected = np.rint(((pixels - low) * (255 / max(high - low, 1))).clip(0, 255))
        stretched = trim_and_resize(pixels, InputSpec(64, contrast=True))[..., 0]
        np.testing.assert_allclose(stretched, expected, atol=1)

"""Copies of a picture are found however they were made, and other pictures of the same kind are not."""

import io
from functools import cache

import numpy as np
import pytest
from PIL import Image

from ml.data.duplicates import find_duplicates
from ml.data.signatures import make_signature
from tests.ml.drawings import BREAKS, draw_bone

NUM_ORIGINALS = 4


def original(number):
    return draw_bone(BREAKS[number % 3], number // 3, (200, 280))


@cache
def original_signatures():
    return tuple(make_signature(original(number)) for number in range(NUM_ORIGINALS))


def reencoded(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((140, 196)).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer))


def cropped(pixels):
    return np.asarray(Image.fromarray(pixels).crop((30, 40, 190, 230)))


def rotated(pixels):
    return np.asarray(Image.fromarray(pixels).rotate(8, Image.Resampling.BICUBIC))


def brighter(pixels):
    return (pixels * 0.6 + 70).astype(np.uint8)


def bordered(pixels):
    return np.pad(pixels, 40, constant_values=255)


def stretched(pixels):
    return np.asarray(Image.fromarray(pixels).resize((280, 280), Image.Resampling.BICUBIC))


def tinted(pixels):
    return np.stack([pixels // 2, pixels, pixels], axis=-1)


@pytest.mark.parametrize(
    "change",
    [reencoded, np.fliplr, np.flipud, np.rot90, rotated, cropped, brighter, bordered, stretched, tinted],
)
def test_a_changed_copy_is_paired_with_its_original_and_nothing_else(change):
    copy = make_signature(np.ascontiguousarray(change(original(1))))
    found = find_duplicates([*original_signatures(), copy])
    assert [(pair.first, pair.second) for pair in found] == [(1, NUM_ORIGINALS)]


def test_a_pair_says_how_the_copy_was_made():
    picture = draw_bone("Oblique", 1, (200, 280))
    signatures = [make_signature(np.ascontiguousarray(one)) for one in (picture, np.fliplr(picture))]
    (mirrored,) = find_duplicates(signatures)
    assert mirrored.mirrored
    assert mirrored.overlap > 0.95
    signatures = [make_signature(np.ascontiguousarray(one)) for one in (picture, np.rot90(picture))]
    (turned,) = find_duplicates(signatures)
    assert abs(turned.turned) == pytest.approx(90, abs=2)


def test_plain_and_tiny_pictures_are_compared_without_harm():
    plain = [np.zeros((50, 40), np.uint8), np.full((30, 300), 255, np.uint8), draw_bone("Whole", 0, (20, 24))]
    assert find_duplicates([make_signature(pixels) for pixels in plain]) == []
    assert find_duplicates([]) == []


def test_progress_rises_to_its_end():
    progress = []
    find_duplicates(original_signatures(), progress.append)
    assert progress == sorted(progress)
    assert progress[-1] == 1

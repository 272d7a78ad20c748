"""Names and numbers that are drawn into an X-ray are found; markers of the side are not taken for them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.data.burned_in_text import shows_text
from tests.ml.drawings import draw_bone

LARGE, SMALL = (1600, 2000), (420, 520)


def drawn(
    text: str, *, size: tuple[int, int] = SMALL, height: float = 0.035, style: str = "white"
) -> NDArray[np.uint8]:
    """Returns a drawn X-ray with a text in its corner; `height` is a share of the longer side."""
    image = Image.fromarray(draw_bone("Oblique", size=SMALL)).resize(size)
    font = ImageFont.load_default(round(height * max(size)))
    draw = ImageDraw.Draw(image)
    at = (0.05 * size[0], 0.03 * size[1])
    if style == "black on white":
        draw.rectangle(draw.textbbox(at, text, font), fill=255)
    draw.text(at, text, {"white": 255, "grey": 200, "black on white": 0}[style], font)
    return np.asarray(image)


@pytest.mark.parametrize(
    "text", ["MEIER HANS", "Smith, John 1970", "Müller^Anna", "ID 4711-0815", "DOB 01.01.1970"]
)
@pytest.mark.parametrize("style", ["white", "grey", "black on white"])
@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
def test_a_drawn_name_or_number_is_found(text: str, style: str, size: tuple[int, int]) -> None:
    assert shows_text(drawn(text, style=style, size=size))


@pytest.mark.parametrize("text", ["", "L", "R", "AP", "PA", "LAT", "L LAT", "R AP"])
@pytest.mark.parametrize("height", [0.035, 0.08])
def test_a_marker_of_side_or_projection_is_not_text(text: str, height: float) -> None:
    assert not shows_text(drawn(text, height=height))


@pytest.mark.parametrize("kind", ["Transverse", "Oblique", "Comminuted", "Whole"])
def test_a_bone_is_not_text(kind: str) -> None:
    for seed in range(10):
        assert not shows_text(draw_bone(kind, seed))


def test_colour_and_tiny_images_are_searched_too() -> None:
    grey = drawn("MEIER HANS")
    assert shows_text(np.stack([grey] * 3, -1))
    assert not shows_text(np.zeros((32, 32), np.uint8))
    assert not shows_text(np.zeros((32, 4000), np.uint8))


def test_noise_is_searched_in_little_time() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 800), np.uint8)
    assert not shows_text(noise)

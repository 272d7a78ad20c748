"""Pictures of any mode and size, and DICOM headers that contradict themselves."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate

from ml.data import sandbox
from ml.data.image_limits import MIN_SIDE, ImageRefused
from ml.data.images import encode_png, read_image
from tests.fuzz.mutations import ODD_NUMBERS, PHOTOMETRIC
from tests.fuzz.watch import is_error_text
from tests.ml.compressed import SYNTAXES, compress
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone

always_the_same = settings(max_examples=400, derandomize=True, deadline=None, database=None)

SIDES = st.one_of(st.integers(1, 300), st.sampled_from([MIN_SIDE - 1, MIN_SIDE, MIN_SIDE + 1]))
LOSSLESS_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
JPEG_MODES = ("L", "RGB", "CMYK", "YCbCr")


def picture(mode: str, width: int, height: int, seed: int) -> Image.Image:
    random = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(random.integers(0, 2**16, (height, width), np.uint16))
    bands = 4 if mode in ("LA", "RGBA") else 3
    return Image.fromarray(random.integers(0, 256, (height, width, bands), np.uint8)).convert(mode)


@always_the_same
@given(st.sampled_from(LOSSLESS_MODES), SIDES, SIDES, st.integers(0, 9))
def test_a_png_of_any_mode_and_size_is_read_pixel_by_pixel(
    mode: str, width: int, height: int, seed: int
) -> None:
    image = picture(mode, width, height, seed)
    if min(width, height) < MIN_SIDE:
        assert is_refused(
            encoded(image), f"The image is {width} x {height} pixels; each side must be at least 32 pixels."
        )
        return
    pixels = read_image(encoded(image)).pixels
    if mode == "I;16":
        expected = np.rint(np.asarray(image) / 257)
    elif mode in ("LA", "RGBA"):
        levels = np.asarray(image.convert("RGBA")).astype(float)
        expected = levels[..., :3] * levels[..., 3:] / 255
    else:
        expected = np.asarray(image.convert("RGB")).astype(float)
    expected = expected if pixels.ndim == expected.ndim else expected[..., 0]
    assert np.abs(pixels - expected).max() <= (1 if mode in ("LA", "RGBA") else 0)
    np.testing.assert_array_equal(read_image(encode_png(pixels)).pixels, pixels)


@always_the_same
@given(st.sampled_from(JPEG_MODES), SIDES, SIDES, st.booleans(), st.integers(1, 100))
def test_a_jpeg_of_any_mode_and_size_is_read(
    mode: str, width: int, height: int, progressive: bool, quality: int
) -> None:
    content = encoded(picture(mode, width, height, quality), "JPEG", progressive=progressive, quality=quality)
    if min(width, height) < MIN_SIDE:
        assert is_refused(
            content, f"The image is {width} x {height} pixels; each side must be at least 32 pixels."
        )
    else:
        assert read_image(content).pixels.shape[:2] == (height, width)


NUMBERS = st.one_of(st.none(), st.sampled_from(ODD_NUMBERS), st.integers(0, 2**16 - 1))
NUMBER_TAGS = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "SamplesPerPixel",
    "PixelRepresentation",
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(NUMBER_TAGS, NUMBERS),
        "PhotometricInterpretation": st.sampled_from([None, *PHOTOMETRIC]),
        "PixelData": st.binary(min_size=1, max_size=400),
    },
)
DRAWN = dicom(draw_bone(size=(40, 48)).astype(np.uint16) * 16)
FILES = {"plain": DRAWN, **{syntax: compress(DRAWN, syntax) for syntax in SYNTAXES if syntax != "jpeg"}}


@always_the_same
@given(st.sampled_from(list(FILES)), HEADERS)
def test_a_dicom_header_that_contradicts_itself_is_read_within_the_limits_or_refused(
    kind: str, header: dict[str, Any]
) -> None:
    data = dcmread(io.BytesIO(FILES[kind]))
    for name, value in header.items():
        if value is None:
            del data[name]
        elif isinstance(value, bytes) and kind != "plain":
            data.PixelData = encapsulate([value])
        else:
            data[name].value = value
    content = io.BytesIO()
    data.save_as(content)
    try:
        pixels = sandbox.read_image(content.getvalue()).pixels
    except ImageRefused as refused:
        assert is_error_text(str(refused))
    else:
        assert pixels.dtype == np.uint8
        assert pixels.shape[:2] == (data.Rows, data.Columns)


def is_refused(content: bytes, sentence: str) -> bool:
    try:
        read_image(content)
    except ImageRefused as refused:
        return str(refused) == sentence
    return False

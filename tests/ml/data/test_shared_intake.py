"""Public examples of files that readers get wrong, each with its right outcome."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from ml.data import sandbox
from ml.data.image_limits import ImageRefused
from tests.intake_pictures import Levels, stretched, to_levels, windowed

FOLDER = "data/intake"
REFUSED = {
    "cut-compressed-half.dcm": "is cut off",
    "burned-in-leading-space.dcm": "burned-in annotations",
    "for-processing-raw.dcm": "FOR PROCESSING",
    "12bit.jpg": "12 bits per sample",
    "jpeg-ls.jls": "JPEG-LS",
    "DICOMDIR": "DICOMDIR, the table of contents",
}


def twelve(folder: Path) -> np.ndarray:  # type: ignore[type-arg]
    """Returns the 12-bit values that the examples share."""
    data = dcmread(folder / "plain-file-that-names-deflated.dcm")
    return np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns)


def eight(folder: Path) -> Levels:
    data = dcmread(folder / "identity-rescale-8bit.dcm")
    return np.frombuffer(data.PixelData, np.uint8).reshape(data.Rows, data.Columns)


SHOWN: dict[str, Callable[[Path], Levels]] = {
    **dict.fromkeys(
        (
            "bare-dataset-no-preamble.dcm",
            "jpeg-extended-12bit.dcm",
            "modality-DR.dcm",
            "modality-lut-12bit.dcm",
            "modality-lut-empty-item.dcm",
            "mono2-presentation-lut-inverse.dcm",
            "no-transfer-syntax.dcm",
            "highbit15-left-aligned.dcm",
            "plain-file-that-names-deflated.dcm",
            "voi-lut-function-empty.dcm",
            "voilut-empty-item.dcm",
            "window-decimal-comma.dcm",
        ),
        lambda folder: windowed(twelve(folder)),
    ),
    "12bit-values-in-16bit.png": lambda folder: stretched(twelve(folder)),
    "identity-rescale-8bit.dcm": eight,
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_example_is_refused_with_a_true_sentence(shared: Path, name: str) -> None:
    with pytest.raises(ImageRefused, match=REFUSED[name]):
        sandbox.read_image(shared / FOLDER / name)


@pytest.mark.parametrize("name", SHOWN)
def test_an_example_is_shown_as_the_others(shared: Path, name: str) -> None:
    folder = shared / FOLDER
    pixels, expected = sandbox.read_image(folder / name).pixels, SHOWN[name](folder)
    assert np.abs(pixels.astype(int) - expected).mean() < 2
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize(
    "name", ["voilut-8bit-4096-entries", "voilut-declares16-holds12", "voilut-first-value-negative-implicit"]
)
def test_a_lookup_table_is_applied_whatever_its_form(shared: Path, name: str) -> None:
    path = shared / FOLDER / f"{name}.dcm"
    data = dcmread(path)
    item = data.VOILUTSequence[0]
    count = item["LUTDescriptor"].value[0]
    raw = item["LUTData"].value
    data_bytes = raw if isinstance(raw, bytes) else np.array(raw, "<u2").tobytes()
    table = np.frombuffer(data_bytes, np.uint8 if len(data_bytes) < 2 * count else "<u2", count).astype(float)
    stored = np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns)
    expected = to_levels(table[stored] / table.max())
    pixels = sandbox.read_image(path).pixels
    assert np.abs(pixels.astype(int) - expected).mean() < 2
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.999


def test_pixels_twice_as_high_as_wide_are_stretched(shared: Path) -> None:
    path = shared / FOLDER / "pixel-aspect-ratio-2-1.dcm"
    data = dcmread(path)
    stored = np.frombuffer(data.PixelData, "<u2").reshape(data.Rows, data.Columns)
    assert sandbox.read_image(path).pixels.shape == (2 * data.Rows, data.Columns)
    assert np.abs(sandbox.read_image(path).pixels[::2].astype(int) - windowed(stored)).mean() < 6


@pytest.mark.parametrize(
    "name",
    [
        "motion-photo-101-marks.jpg",
        "no-EOI.jpg",
        "xmp-orientation-only.jpg",
        "ancillary-crc.png",
        "text-of-3MB.png",
    ],
)
def test_a_photograph_shows_the_same_picture(shared: Path, name: str) -> None:
    pixels = sandbox.read_image(shared / FOLDER / name).pixels
    expected = windowed(twelve(shared / FOLDER))
    assert np.corrcoef(pixels.ravel(), expected.ravel())[0, 1] > 0.999


def test_an_eight_bit_stream_in_sixteen_allocated_bits_is_shown(shared: Path) -> None:
    path = shared / FOLDER / "jpeg8-in-16-allocated.dcm"
    content = path.read_bytes()
    start = content.index(b"\xff\xd8\xff")
    with Image.open(io.BytesIO(content[start:])) as image:
        np.testing.assert_allclose(sandbox.read_image(path).pixels, np.asarray(image), atol=1)

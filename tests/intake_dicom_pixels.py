"""Kinds of DICOM files by how their pixels are displayed; the expected pictures follow PS3.3 C.11."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from pydicom import Dataset
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.intake_cases import Case
from tests.intake_pictures import (
    BONE,
    FULL_WINDOW,
    TWELVE,
    Levels,
    Raw,
    dicom,
    lookup_item,
    stretched,
    to_levels,
    windowed,
)

SHOWN = windowed(TWELVE)
# A curve that is not a straight line, from black to white.
CURVE = np.sqrt(np.arange(4096) / 4095)
CURVED = to_levels(CURVE[TWELVE])
SIGNED = TWELVE.astype(np.int16) - 2048


def case(
    kind: str, expected: Levels | str, pixels: Any = TWELVE, tolerance: float = 0.6, **changes: Any
) -> Case:
    return Case("DICOM", kind, lambda: dicom(pixels, **changes), expected, tolerance)


def words(values: Any) -> bytes:
    return np.rint(values).astype("<u2").tobytes()


def entries(bits: int, in_bytes: bool = False) -> bytes:
    """Returns the curve as entries of a lookup table."""
    levels = np.rint(CURVE * (2**bits - 1))
    return levels.astype(np.uint8).tobytes() if in_bytes else words(levels)


def voi(
    kind: str,
    descriptor: list[int],
    data: bytes,
    expected: Levels = CURVED,
    tolerance: float = 0.6,
    **changes: Any,
) -> Case:
    item = lookup_item(descriptor, data)
    return case(kind, expected, tolerance=tolerance, VOILUTSequence=[item], **changes)


def explained_only() -> Dataset:
    item = Dataset()
    item.LUTExplanation = "none"
    return item


def padded(value: int) -> Any:
    """Returns the picture in values from 1000 to 2000, with a frame of padding."""
    pixels = 1000 + (TWELVE / 4.2).astype(np.uint16)
    pixels[:6], pixels[-6:] = value, value
    return pixels


def padded_shown(*, is_inverted: bool = False) -> Levels:
    inner = stretched(padded(1500)[6:-6])
    picture = np.zeros(BONE.shape, np.uint8)
    picture[6:-6] = 255 - inner if is_inverted else inner
    return picture


def padded_range() -> Any:
    pixels = padded(0)
    pixels[:6, ::2] = 40
    return pixels


def enlarged(height: int, width: int) -> Levels:
    """Returns the picture with each pixel repeated, smoothed as by linear interpolation."""
    size = (BONE.shape[1] * width, BONE.shape[0] * height)
    return np.asarray(Image.fromarray(SHOWN).resize(size, Image.Resampling.BILINEAR))


def in_eight_bits_by_four(**changes: Any) -> Case:
    return case(
        "4 bits stored in 8, left-aligned",
        to_levels((BONE >> 4) / 15),
        (BONE >> 4) << 4,
        BitsStored=4,
        HighBit=7,
        **changes,
    )


RESCALED = {"RescaleSlope": "1", "RescaleIntercept": "-1024"}
NEXT = {"PhotometricInterpretation": "MONOCHROME1"}

VOI_CASES = [
    voi("a VOI LUT of 16 bits", [4096, 0, 16], entries(16)),
    voi("a VOI LUT of 12 bits", [4096, 0, 12], entries(12)),
    voi("a VOI LUT of 10 bits", [4096, 0, 10], entries(10)),
    voi("a VOI LUT of 8 bits in bytes, 4096 entries", [4096, 0, 8], entries(8, True)),
    voi("a VOI LUT of 8 bits in words, 4096 entries", [4096, 0, 8], entries(8)),
    voi("a VOI LUT of 16 bits that holds 12", [4096, 0, 16], entries(12)),
    voi("a VOI LUT of 16 bits that holds 10", [4096, 0, 16], entries(10)),
    voi("a VOI LUT of 8 bits that holds 12", [4096, 0, 8], entries(12)),
    voi("a VOI LUT whose first value is negative after rescaling", [4096, -1024, 16], entries(16), **RESCALED),
    Case("DICOM", "the same in implicit VR", lambda: dicom(syntax=ImplicitVRLittleEndian, VOILUTSequence=[lookup_item([4096, -1024, 16], entries(16))], **RESCALED), CURVED),
    voi("a VOI LUT that starts above 32767", [4096, 40000, 16], entries(16), RescaleSlope="1", RescaleIntercept="40000"),
    voi("a VOI LUT of 65536 entries", [0, 0, 16], words(np.concatenate([CURVE, np.ones(61440)]) * 65535)),
    voi("a VOI LUT that covers some of the values", [2048, 1024, 12], words(np.arange(2048) * 4095 / 2047), to_levels((TWELVE - 1024.0) / 2047)),
    voi("a VOI LUT and a window", [4096, 0, 16], entries(16), WindowCenter="10", WindowWidth="20"),
    case("a signed VOI LUT of signed values", CURVED, SIGNED, VOILUTSequence=[lookup_item([4096, -2048, 16], entries(16))]),
    case("an empty VOI LUT sequence", SHOWN, VOILUTSequence=[], **FULL_WINDOW),
    case("an empty VOI LUT item", SHOWN, VOILUTSequence=[Dataset()], **FULL_WINDOW),
    case("a VOI LUT item without a table", SHOWN, VOILUTSequence=[explained_only()], **FULL_WINDOW),
    case("a VOI LUT without data", SHOWN, VOILUTSequence=[lookup_item([4096, 0, 16], b"")], **FULL_WINDOW),
    case("a VOI LUT without a descriptor", SHOWN, VOILUTSequence=[lookup_item([4096, 0, 16], entries(16), LUTDescriptor=None)], **FULL_WINDOW),
    case("a VOI LUT with fewer entries than declared", SHOWN, VOILUTSequence=[lookup_item([4096, 0, 16], bytes(100))], **FULL_WINDOW),
    case("a second VOI LUT item, the first empty", CURVED, VOILUTSequence=[Dataset(), lookup_item([4096, 0, 16], entries(16))]),
]  # fmt: skip

MODALITY_CASES = [
    case("a modality LUT of 16 bits", stretched(CURVE[TWELVE]), ModalityLUTSequence=[lookup_item([4096, 0, 16], entries(16))]),
    case("a modality LUT of 12 bits and a window", windowed(CURVE[TWELVE] * 4095), ModalityLUTSequence=[lookup_item([4096, 0, 12], entries(12))], **FULL_WINDOW),
    case("a modality LUT of 8 bits in bytes", stretched(CURVE[TWELVE]), ModalityLUTSequence=[lookup_item([4096, 0, 8], entries(8, True))], tolerance=1),
    case("a modality LUT of signed values", stretched(CURVE[TWELVE]), SIGNED, ModalityLUTSequence=[lookup_item([4096, -2048, 16], entries(16))]),
    case("an empty modality LUT item", SHOWN, ModalityLUTSequence=[Dataset()], **FULL_WINDOW),
    case("an empty modality LUT item and a rescale", windowed(TWELVE * 0.5 + 10, 1000, 2000), ModalityLUTSequence=[Dataset()], RescaleSlope="0.5", RescaleIntercept="10", WindowCenter="1000", WindowWidth="2000"),
    case("an empty rescale slope", SHOWN, RescaleSlope=Raw(b""), RescaleIntercept="0", **FULL_WINDOW),
    case("an empty rescale intercept", windowed(TWELVE * 2.0, 4096, 8192), RescaleSlope="2", RescaleIntercept=Raw(b""), WindowCenter="4096", WindowWidth="8192"),
    case("a rescale slope of 0", SHOWN, RescaleSlope="0", RescaleIntercept="0", **FULL_WINDOW),
    case("a rescale slope that is not a number", SHOWN, RescaleSlope=Raw(b"none"), RescaleIntercept=Raw(b"NaN "), **FULL_WINDOW),
    case("a negative rescale slope", windowed(4095.0 - TWELVE), RescaleSlope="-1", RescaleIntercept="4095", **FULL_WINDOW),
    case("8 bits and a rescale that changes nothing", BONE, BONE, 0, RescaleSlope="1", RescaleIntercept="0"),
    case("8 bits and a rescale that scales", BONE, BONE, 0, RescaleSlope="2", RescaleIntercept="-100"),
    case("8 bits", BONE, BONE, 0),
]  # fmt: skip

WINDOW_CASES = [
    case("a window", windowed(TWELVE, 1500, 2000), WindowCenter="1500", WindowWidth="2000"),
    case("several windows", windowed(TWELVE, 1500, 2000), WindowCenter=["1500", "100"], WindowWidth=["2000", "50"]),
    case("no window", stretched(TWELVE)),
    case("an empty window", stretched(TWELVE), WindowCenter=Raw(b""), WindowWidth=Raw(b"")),
    case("a window width without a center", stretched(TWELVE), WindowWidth="400"),
    case("a window width of 0", stretched(TWELVE), WindowCenter="100", WindowWidth="0"),
    case("a window with a decimal comma", windowed(TWELVE, 2048.5, 4096), WindowCenter=Raw(b"2048,5"), WindowWidth=Raw(b"4096,0")),
    case("a window with spaces and signs", windowed(TWELVE, 2048, 4000), WindowCenter=Raw(b" +2.048e3 "), WindowWidth=Raw(b" 4000 ")),
    case("a window in binary numbers", windowed(TWELVE, 2048, 4000), WindowCenter=Raw(b"\0\0\0\0\0\0\xa0\x40", "FD"), WindowWidth=Raw(b"\0\0\0\0\0\x40\xaf\x40", "FD")),
    case("an empty VOI LUT function", SHOWN, VOILUTFunction=Raw(b""), **FULL_WINDOW),
    case("a VOI LUT function that no standard knows", SHOWN, VOILUTFunction="CUBIC", **FULL_WINDOW),
    case("the VOI LUT function LINEAR_EXACT", to_levels((TWELVE - 2000.0) / 1000 + 0.5), VOILUTFunction="LINEAR_EXACT", WindowCenter="2000", WindowWidth="1000"),
    case("the same, of a width below 1", to_levels((TWELVE / 10000 - 0.2) / 0.3 + 0.5), VOILUTFunction="LINEAR_EXACT", WindowCenter="0.2", WindowWidth="0.3", RescaleSlope="0.0001", RescaleIntercept="0"),
    case("the VOI LUT function sigmoid, in small letters", to_levels(1 / (1 + np.exp(-4 * (TWELVE - 2000.0) / 1500))), VOILUTFunction=Raw(b" sigmoid"), WindowCenter="2000", WindowWidth="1500"),
]  # fmt: skip

STORAGE_CASES = [
    case("12 bits in 16, left-aligned", SHOWN, TWELVE << 4, HighBit=15, **FULL_WINDOW),
    case("10 bits in 16, in the middle", windowed(TWELVE >> 2, 512, 1024), (TWELVE >> 2) << 3, BitsStored=10, HighBit=12, WindowCenter="512", WindowWidth="1024"),
    case("12 signed bits in 16, left-aligned", SHOWN, SIGNED << 4, HighBit=15, WindowCenter="0", WindowWidth="4096"),
    in_eight_bits_by_four(),
    case("an overlay in the unused bits", SHOWN, TWELVE | 0x3000, **FULL_WINDOW),
    case("signed values", SHOWN, SIGNED, WindowCenter="0", WindowWidth="4096"),
    case("an empty High Bit", SHOWN, HighBit=Raw(b""), **FULL_WINDOW),
    case("an empty Number of Frames and Planar Configuration", SHOWN, NumberOfFrames=Raw(b""), PlanarConfiguration=Raw(b""), **FULL_WINDOW),
    Case("DICOM", "big endian", lambda: dicom(TWELVE.byteswap(), syntax=ExplicitVRBigEndian, **FULL_WINDOW), SHOWN),
    Case("DICOM", "big endian of 8 bits in words", lambda: dicom(BONE.view(np.uint16).byteswap().view(np.uint8), syntax=ExplicitVRBigEndian), BONE, 0),
]  # fmt: skip

PRESENTATION_CASES = [
    case("MONOCHROME1", 255 - SHOWN, tolerance=1, **NEXT, **FULL_WINDOW),
    case("MONOCHROME1 and the presentation LUT shape INVERSE", 255 - SHOWN, tolerance=1, PresentationLUTShape="INVERSE", **NEXT, **FULL_WINDOW),
    case("MONOCHROME2 and the presentation LUT shape INVERSE", 255 - SHOWN, tolerance=1, PresentationLUTShape="INVERSE", **FULL_WINDOW),
    case("the same in small letters, with a space", 255 - SHOWN, tolerance=1, PresentationLUTShape=Raw(b" inverse"), **FULL_WINDOW),
    case("MONOCHROME1 and the presentation LUT shape IDENTITY", SHOWN, PresentationLUTShape="IDENTITY", **NEXT, **FULL_WINDOW),
    case("an empty presentation LUT shape", SHOWN, PresentationLUTShape=Raw(b""), **FULL_WINDOW),
    case("padding", padded_shown(), padded(0), PixelPaddingValue=0),
    case("padding in MONOCHROME1", padded_shown(is_inverted=True), padded(4095), 1, PixelPaddingValue=4095, **NEXT),
    case("padding of the lowest value in MONOCHROME1", padded_shown(is_inverted=True), padded(0), 1, PixelPaddingValue=0, **NEXT),
    case("a padding range", padded_shown(), padded_range(), PixelPaddingValue=0, PixelPaddingRangeLimit=50),
    case("a padding range in MONOCHROME1", padded_shown(is_inverted=True), 4095 - padded_range(), 1, PixelPaddingValue=4095, PixelPaddingRangeLimit=4045),
    case("padding outside of the bits stored", padded_shown(), padded(65535), PixelPaddingValue=65535),
    case("an empty padding value", SHOWN, PixelPaddingValue=Raw(b"", "US"), **FULL_WINDOW),
    case("nothing but padding", np.zeros(BONE.shape, np.uint8), np.zeros_like(TWELVE), PixelPaddingValue=0),
    case("pixels twice as high as wide", enlarged(2, 1), PixelAspectRatio=["2", "1"], **FULL_WINDOW),
    case("pixels twice as wide as high", enlarged(1, 2), PixelAspectRatio=["1", "2"], **FULL_WINDOW),
    case("an empty pixel aspect ratio", SHOWN, PixelAspectRatio=Raw(b""), **FULL_WINDOW),
    case("a pixel aspect ratio with 0", SHOWN, PixelAspectRatio=["0", "1"], **FULL_WINDOW),
    case("a pixel spacing of which one is three times the other", enlarged(1, 3), PixelSpacing=["0.1", "0.3"], **FULL_WINDOW),
    case("an imager pixel spacing of which one is twice the other", enlarged(2, 1), ImagerPixelSpacing=["0.2", "0.1"], **FULL_WINDOW),
    case("a pixel spacing that is almost square", SHOWN, PixelSpacing=["0.1439", "0.1440"], **FULL_WINDOW),
]  # fmt: skip

PIXEL_CASES = [*VOI_CASES, *MODALITY_CASES, *WINDOW_CASES, *STORAGE_CASES, *PRESENTATION_CASES]

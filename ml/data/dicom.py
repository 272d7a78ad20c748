"""A single-frame radiographic DICOM file -> 8-bit pixels, as its own window shows them.

Only the tags named here are parsed: the patient's name, and all else that the pixels do not need,
is never read as a value.
"""

from __future__ import annotations

import logging
import struct
import warnings
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import config, dcmread
from pydicom.encaps import generate_frames
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing, pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ml.data.image_limits import ImageRefused, check_size
from ml.data.lookup import look_up

# Projection radiography (PS3.3 C.7.3.1.1.1): computed, digital, film, fluoroscopic and angiographic
# single shots, dental and panoramic; and OT, which digitised films declare. Mammograms (MG) are
# X-rays too, but of no bone.
RADIOGRAPHIC_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "XA", "IO", "PX", "OT"})

# What else is named when it is refused. Anything else could be any text, so it is not repeated.
OTHER_MODALITIES = frozenset(
    {
        *("BMD", "CT", "DOC", "ECG", "ES", "GM", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP", "OPT", "PR"),
        *("PT", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "US", "XC"),
    }
)

COLOURS = {
    1: frozenset({"MONOCHROME1", "MONOCHROME2"}),
    3: frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}),
}

# gdcm ends its process on some damaged files, so it reads only what none of the others can.
DECODERS = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless), "gdcm"),
    RLELossless: "pydicom",
}

TAGS: list[Any] = [
    *("Modality", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelData"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
]


# pydicom's warnings quote the values they are about; a refusal here is one sentence of our own.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def read_pixels(file: BinaryIO) -> NDArray[np.uint8]:
    """Reads a DICOM file from its current position.

    Returns:
        uint8 pixels, (H, W), or (H, W, 3) for a colour capture. Values go through the modality LUT
        or rescale, then the VOI LUT or window (PS3.3 C.11.1, C.11.2); without either, the values
        that occur fill the range. MONOCHROME1 is inverted, so bone is bright.

    Raises:
        ImageRefused: it is no single-frame X-ray with pixels that can be decoded.
    """
    # A deflated file of 200 MB may inflate to 200 GB, and pydicom inflates before we could look.
    if DeflatedExplicitVRLittleEndian.encode() in file.read(4096):
        raise ImageRefused("The DICOM file is deflated as a whole, which is not supported.")
    file.seek(0)
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            dataset = dcmread(file, specific_tags=TAGS)
            _check(dataset)
            decoder = DECODERS.get(dataset.file_meta.TransferSyntaxUID, "")
            # index: else what is more than a picture's worth of bytes would count as more pictures.
            return _display(dataset, pixel_array(dataset, index=0, decoding_plugin=decoder))
    except (ImageRefused, MemoryError):
        raise
    # A hostile or odd file can make the decoders raise nearly anything, quoting what they read.
    except Exception:
        raise ImageRefused("The DICOM file is cut off or damaged.") from None


def _check(dataset: Any) -> None:
    modality = str(dataset.get("Modality") or "")
    if modality not in RADIOGRAPHIC_MODALITIES:
        known = modality if modality in OTHER_MODALITIES else "unknown" if modality else "not stated"
        raise ImageRefused(f"The DICOM file is not an X-ray of a bone (its modality is {known}).")
    if "PixelData" not in dataset or not dataset.PixelData:
        raise ImageRefused("The DICOM file contains no picture.")
    if dataset.get("BurnedInAnnotation") == "YES":
        raise ImageRefused(
            "The DICOM file says that its picture shows who the patient is (burned-in annotation); "
            "please send one without."
        )
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageRefused("The DICOM file holds several frames; one still picture is needed.")
    check_size(int(dataset.Columns), int(dataset.Rows))
    if dataset.PhotometricInterpretation not in COLOURS.get(int(dataset.SamplesPerPixel), ()):
        raise ImageRefused("The DICOM file's colours are stored in a way that Callus does not read.")
    bits = int(dataset.BitsAllocated)
    if bits not in ((8, 16) if int(dataset.SamplesPerPixel) == 1 else (8,)):
        raise ImageRefused(f"The DICOM file has {bits} bits a sample; 8 are supported, or 16 in grey.")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        if syntax not in DECODERS:
            raise ImageRefused("The DICOM file is compressed in a way that Callus does not read.")
        if syntax != RLELossless:
            _check_codestream(dataset)


def _check_codestream(dataset: Any) -> None:
    """The header may claim less than the compressed stream holds, and decoders go by the stream."""
    size = _codestream_size(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    check_size(*size)
    if size != (dataset.Columns, dataset.Rows):
        raise ImageRefused("The DICOM file's header and its compressed picture differ in size.")


def _codestream_size(frame: bytes) -> tuple[int, int]:
    """Returns what a JPEG 2000 (T.800 A.5.1) or JPEG (T.81 B.2.2) stream itself claims to hold."""
    start = _codestream_start(frame)
    if frame.startswith(b"\xff\x4f\xff\x51", start):
        width, height, left, top = struct.unpack_from(">4I", frame, start + 8)
        return max(0, width - left), max(0, height - top)
    position = start + 2
    while frame[position] == 0xFF:
        marker, length = frame[position + 1], struct.unpack_from(">H", frame, position + 2)[0]
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            height, width = struct.unpack_from(">2H", frame, position + 5)
            return width, height
        position += 2 + length
    raise ValueError("neither JPEG 2000 nor JPEG")


def _codestream_start(frame: bytes) -> int:
    """Behind the boxes of a JP2 file, which some put into DICOM (T.800 I.4)."""
    if not frame.startswith(b"\0\0\0\x0cjP  "):
        return 0
    position = 12
    while frame[position + 4 : position + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", frame, position)
        # pydicom would step over a box without length for ever.
        if length < 8:
            raise ValueError("a box that does not end")
        position += length
    return position + 8


def _display(dataset: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    # What the compressed stream says of itself, which may be more than the header does.
    if stored.dtype.itemsize > (2 if stored.ndim == 2 else 1):
        raise ImageRefused("The DICOM file has more bits a sample than its header says.")
    if stored.ndim == 3:
        return stored.view(np.uint8)
    # 8 or 16 bits: what becomes of each possible value is looked up, so the whole chain runs over
    # at most 65,536 numbers and not over the pixels.
    kind = np.iinfo(stored.dtype)
    values = apply_modality_lut(np.arange(kind.min, kind.max + 1).astype(stored.dtype), dataset)
    shown, low, high = _window(dataset, stored, values)
    scaled = np.clip((shown - low) / ((high - low) or 1.0), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        scaled = 1 - scaled
    table = np.rint(scaled * 255).astype(np.uint8)
    # A negative value, read as unsigned, lies behind the positive ones.
    return look_up(np.roll(table, kind.min), stored.view(stored.dtype.str.replace("i", "u")))


def _window(
    dataset: Any, stored: NDArray[Any], values: NDArray[Any]
) -> tuple[NDArray[np.float64], float, float]:
    """Returns what is shown for each value, and what counts as black and as white."""
    if dataset.get("VOILUTSequence"):
        entries, first, bits = (int(number) for number in dataset.VOILUTSequence[0].LUTDescriptor)
        indices = np.rint(values).astype(np.int64).clip(first, first + (entries or 2**16) - 1)
        return apply_voi(indices, dataset).astype(np.float64), 0.0, 2.0**bits - 1
    if _has_window(dataset):
        extremes = apply_windowing(np.array([-1e12, 1e12]), dataset)
        return apply_windowing(values, dataset), float(extremes[0]), float(extremes[1])
    values = values.astype(np.float64)
    if dataset.BitsStored <= 8 and dataset.PixelRepresentation == 0 and "RescaleSlope" not in dataset:
        return values, 0.0, 2.0**dataset.BitsStored - 1
    occurring = np.unique(stored)
    if "PixelPaddingValue" in dataset and occurring.size > 1:
        occurring = occurring[occurring != dataset.PixelPaddingValue]
    shown = values[occurring.astype(np.int64) - np.iinfo(stored.dtype).min]
    return values, float(shown.min()), float(shown.max())


def _has_window(dataset: Any) -> bool:
    width, center = (np.atleast_1d(dataset.get(tag) or []) for tag in ("WindowWidth", "WindowCenter"))
    return width.size > 0 and center.size > 0 and float(width[0]) >= 1

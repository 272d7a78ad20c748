"""Reads the pixels of single-frame radiographic DICOM files; no other attribute is parsed."""

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
from ml.data.lookup_tables import apply_lookup_table

# Projection radiography (PS3.3 C.7.3.1.1.1): computed, digital, film, fluoroscopic and angiographic single images,
# intra-oral and panoramic; and OT, which digitised films declare. Mammograms (MG) do not show bones.
RADIOGRAPHIC_MODALITIES = frozenset({"CR", "DX", "RG", "RF", "XA", "IO", "PX", "OT"})

# Modalities that a refusal names. Other values are free text that could identify a patient.
OTHER_MODALITIES = frozenset(
    {
        *("BMD", "CT", "DOC", "ECG", "ES", "GM", "IVUS", "KO", "MG", "MR", "NM", "OCT", "OP", "OPT", "PR"),
        *("PT", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "US", "XC"),
    }
)

PHOTOMETRIC_INTERPRETATIONS = {
    1: frozenset({"MONOCHROME1", "MONOCHROME2"}),
    3: frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT"}),
}

# gdcm crashes on some damaged files, so it decodes only what no other decoder supports.
DECODERS = {
    **dict.fromkeys((JPEGBaseline8Bit, JPEGExtended12Bit), "pillow"),
    **dict.fromkeys((JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K), "pylibjpeg"),
    **dict.fromkeys((JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless), "gdcm"),
    RLELossless: "pydicom",
}

# The only attributes that are parsed.
TAGS: list[Any] = [
    *("Modality", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelData"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
]


# pydicom's warnings quote attribute values, which may be patient data.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


def read_pixels(file: BinaryIO) -> NDArray[np.uint8]:
    """Reads the pixels of a DICOM file.

    Pixel values pass through the modality LUT or rescale (PS3.3 C.11.1), then the VOI LUT or window (PS3.3 C.11.2).
    Without a window, the range of the stored values is scaled to 0..255. MONOCHROME1 is inverted: bone is bright.

    Args:
        file: A DICOM file, read from its current position.

    Returns:
        uint8 (H, W), or (H, W, 3) in RGB order for colour images.

    Raises:
        ImageRefused: The file is not a single-frame X-ray, or its pixels cannot be decoded.
    """
    # A deflated file of 200 MB may inflate to 200 GB, and pydicom inflates it before any check.
    if DeflatedExplicitVRLittleEndian.encode() in file.read(4096):
        raise ImageRefused("The DICOM file is deflated (compressed as a whole), which is not supported.")
    file.seek(0)
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            dataset = dcmread(file, specific_tags=TAGS)
            _check(dataset)
            decoder = DECODERS.get(dataset.file_meta.TransferSyntaxUID, "")
            # Without index, surplus bytes after the pixels would be decoded as further frames.
            return _display(dataset, pixel_array(dataset, index=0, decoding_plugin=decoder))
    except (ImageRefused, MemoryError):
        raise
    # Decoders raise almost any exception for an invalid file, with messages that may quote it.
    except Exception:
        raise ImageRefused("The DICOM file is cut off or damaged.") from None


def _check(dataset: Any) -> None:
    modality = str(dataset.get("Modality") or "")
    if modality not in RADIOGRAPHIC_MODALITIES:
        known = modality if modality in OTHER_MODALITIES else "unknown" if modality else "not stated"
        raise ImageRefused(f"The DICOM file is not an X-ray of a bone (its modality is {known}).")
    if "PixelData" not in dataset or not dataset.PixelData:
        raise ImageRefused("The DICOM file contains no image.")
    if dataset.get("BurnedInAnnotation") == "YES":
        raise ImageRefused(
            "The DICOM file declares burned-in annotations, which may identify the patient. "
            "Please upload an image without them."
        )
    if int(dataset.get("NumberOfFrames") or 1) != 1:
        raise ImageRefused("The DICOM file has several frames. Please upload a single image.")
    check_size(int(dataset.Columns), int(dataset.Rows))
    if dataset.PhotometricInterpretation not in PHOTOMETRIC_INTERPRETATIONS.get(
        int(dataset.SamplesPerPixel), ()
    ):
        raise ImageRefused("The colour format of the DICOM file is not supported.")
    bits = int(dataset.BitsAllocated)
    if bits not in ((8, 16) if int(dataset.SamplesPerPixel) == 1 else (8,)):
        raise ImageRefused(
            f"The DICOM file has {bits} bits per sample; 8 are supported, and 16 in greyscale images."
        )
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        if syntax not in DECODERS:
            raise ImageRefused("The compression of the DICOM file is not supported.")
        if syntax != RLELossless:
            _check_codestream(dataset)


def _check_codestream(dataset: Any) -> None:
    """Checks the size that the compressed stream declares: decoders allocate memory for it, not for the header's."""
    size = _codestream_size(next(generate_frames(dataset.PixelData, number_of_frames=1)))
    check_size(*size)
    if size != (dataset.Columns, dataset.Rows):
        raise ImageRefused("The header of the DICOM file and its compressed image differ in size.")


def _codestream_size(frame: bytes) -> tuple[int, int]:
    """Returns the width and height that a JPEG 2000 (T.800 A.5.1) or JPEG (T.81 B.2.2) stream declares."""
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
    raise ValueError("The stream is neither JPEG 2000 nor JPEG.")


def _codestream_start(frame: bytes) -> int:
    """Returns the offset of the codestream; some files embed a JP2 file, with boxes before it (T.800 I.4)."""
    if not frame.startswith(b"\0\0\0\x0cjP  "):
        return 0
    position = 12
    while frame[position + 4 : position + 8] != b"jp2c":
        (length,) = struct.unpack_from(">I", frame, position)
        # pydicom loops forever at a box of length 0.
        if length < 8:
            raise ValueError("The JP2 file has a box without length.")
        position += length
    return position + 8


def _display(dataset: Any, stored: NDArray[Any]) -> NDArray[np.uint8]:
    # A compressed stream may declare more bits than the header.
    if stored.dtype.itemsize > (2 if stored.ndim == 2 else 1):
        raise ImageRefused("The DICOM file has more bits per sample than its header declares.")
    if stored.ndim == 3:
        return stored.view(np.uint8)
    # The transformations are applied to all possible values, at most 65,536, instead of to each pixel.
    kind = np.iinfo(stored.dtype)
    values = apply_modality_lut(np.arange(kind.min, kind.max + 1).astype(stored.dtype), dataset)
    shown, low, high = _window(dataset, stored, values)
    scaled = np.clip((shown - low) / ((high - low) or 1.0), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        scaled = 1 - scaled
    table = np.rint(scaled * 255).astype(np.uint8)
    # Negative values, viewed as unsigned, come after the positive ones.
    return apply_lookup_table(np.roll(table, kind.min), stored.view(stored.dtype.str.replace("i", "u")))


def _window(
    dataset: Any, stored: NDArray[Any], values: NDArray[Any]
) -> tuple[NDArray[np.float64], float, float]:
    """Returns the values after the VOI transformation, and the ones that are shown as black and as white."""
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

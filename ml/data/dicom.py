"""Reads the pixels of single-frame radiographic DICOM files, and digests of patient and study; nothing else."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import config

from ml.data import dicom_identifiers, jpeg
from ml.data.dicom_attributes import Attributes
from ml.data.dicom_file import CUT_OFF, DicomFile, open_dicom
from ml.data.dicom_grey import SampleFormat, to_grey
from ml.data.dicom_streams import SampleLayout, decode_native, decode_stream
from ml.data.image_limits import ImageRefused, check_size

# Projection radiography (PS3.3 C.7.3.1.1.1): computed, digital, film, fluoroscopic and angiographic single images,
# intra-oral and panoramic; OT, which digitised films declare; and DR, which some devices write instead of DX.
# Mammograms (MG) do not show bones.
RADIOGRAPHIC_MODALITIES = frozenset({"CR", "DX", "DR", "RG", "RF", "XA", "IO", "PX", "OT"})

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

# Digital X-ray, mammography and intra-oral image storage for processing (PS3.4 B.5).
FOR_PROCESSING_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.1.{number}.1" for number in (1, 2, 3))

# The attributes that give the size of a pixel, by precedence (PS3.3 10.7, C.7.6.3.1.7): height, then width.
PIXEL_SIZES = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio")
# Measured spacings differ a little; interpolating such an image would only blur it.
MIN_PIXEL_RATIO = 1.02

# The only attributes that are parsed, besides those of dicom_identifiers.
TAGS: list[str] = [
    *("SOPClassUID", "Modality", "PresentationIntentType", "BurnedInAnnotation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration"),
    *("NumberOfFrames", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelData"),
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction", "PresentationLUTShape"),
    *PIXEL_SIZES,
]


# pydicom's warnings quote attribute values, which may be patient data.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)


@dataclass(frozen=True, eq=False)
class DicomImage:
    """What is kept of a DICOM file.

    Attributes:
        pixels: uint8 (H, W), or (H, W, 3) in RGB order for colour images.
        identifiers: Digests of its patient and study.
    """

    pixels: NDArray[np.uint8]
    identifiers: dicom_identifiers.Identifiers


def read_dicom(file: BinaryIO) -> DicomImage:
    """Reads the pixels of a DICOM file, and digests of its patient and study.

    Greyscale passes through the modality, VOI and presentation transformations (ml.data.dicom_grey). Images whose
    pixels are not square are stretched to the proportions of the body part.

    Args:
        file: A DICOM file, read from its start.

    Raises:
        ImageRefused: The file is not a single-frame X-ray, or its pixels cannot be decoded.
    """
    try:
        with warnings.catch_warnings(), config.disable_value_validation():
            warnings.simplefilter("ignore")
            opened = open_dicom(file, [*TAGS, *dicom_identifiers.TAGS])
            _check_kind(opened)
            layout = _layout(opened.attributes)
            pixels = _with_square_pixels(_decode(opened, layout), opened.attributes)
            return DicomImage(pixels, dicom_identifiers.read_identifiers(opened.attributes))
    except (ImageRefused, MemoryError):
        raise
    except jpeg.Incomplete:
        raise ImageRefused(CUT_OFF) from None
    # Decoders raise almost any exception for an invalid file, with messages that may quote it.
    except Exception:
        raise ImageRefused("The DICOM file is cut off or damaged.") from None


def _check_kind(opened: DicomFile) -> None:
    """Checks that the file is one processed X-ray."""
    attributes = opened.attributes
    modality = attributes.code("Modality")
    if modality not in RADIOGRAPHIC_MODALITIES:
        if opened.is_cut_off and not modality:
            raise ImageRefused(CUT_OFF)
        if not opened.pixel_data and not modality:
            raise ImageRefused("The DICOM file contains no image.")
        _refuse_modality(modality)
    if opened.is_cut_off:
        raise ImageRefused(CUT_OFF)
    if not opened.pixel_data:
        raise ImageRefused("The DICOM file contains no image.")
    if attributes.code("BurnedInAnnotation") == "YES":
        raise ImageRefused(
            "The DICOM file declares burned-in annotations, which may identify the patient. "
            "Please upload an image without them."
        )
    intent = attributes.code("PresentationIntentType")
    if intent == "FOR PROCESSING" or (
        intent != "FOR PRESENTATION" and attributes.texts("SOPClassUID")[0] in FOR_PROCESSING_CLASSES
    ):
        raise ImageRefused(
            "The DICOM file contains the detector's raw data (FOR PROCESSING), in which bone may be dark. "
            "Please upload the image that is meant for viewing (FOR PRESENTATION)."
        )
    if int(attributes.decimal("NumberOfFrames", 1)) > 1:
        raise ImageRefused("The DICOM file has several frames. Please upload a single image.")


def _refuse_modality(modality: str) -> None:
    if modality in OTHER_MODALITIES:
        raise ImageRefused(f"The DICOM file is not an X-ray of a bone (its modality is {modality}).")
    stated = "unknown" if modality else "not stated"
    raise ImageRefused(
        f"The DICOM file does not say that it is an X-ray: its modality is {stated}. "
        "X-rays have the modality CR, DX, DR, RG, RF, XA, IO, PX or OT."
    )


def _layout(attributes: Attributes) -> SampleLayout:
    """Returns how the pixels are stored.

    Raises:
        ImageRefused: It contradicts itself, or is not supported.
    """
    layout = SampleLayout(
        rows=attributes.integer("Rows"),
        columns=attributes.integer("Columns"),
        samples=attributes.integer("SamplesPerPixel", 1),
        photometric=attributes.code("PhotometricInterpretation"),
        planar=attributes.integer("PlanarConfiguration"),
        bits_allocated=attributes.integer("BitsAllocated"),
        bits_stored=attributes.integer("BitsStored") or attributes.integer("BitsAllocated"),
        high_bit=attributes.integer("HighBit", -1),
        is_signed=attributes.integer("PixelRepresentation") == 1,
    )
    if not layout.rows or not layout.columns or not layout.bits_allocated:
        raise ImageRefused("The header of the DICOM file lacks the size of the image.")
    check_size(layout.columns, layout.rows)
    if layout.photometric not in PHOTOMETRIC_INTERPRETATIONS.get(layout.samples, ()):
        raise ImageRefused("The colour format of the DICOM file is not supported.")
    if layout.bits_allocated not in ((8, 16) if layout.samples == 1 else (8,)):
        raise ImageRefused(
            f"The DICOM file has {layout.bits_allocated} bits per sample; "
            "8 are supported, and 16 in greyscale images."
        )
    if layout.bits_stored > layout.bits_allocated:
        raise ImageRefused("The header of the DICOM file contradicts itself.")
    return layout


def _decode(opened: DicomFile, layout: SampleLayout) -> NDArray[np.uint8]:
    if opened.is_encapsulated:
        words, precision = decode_stream(opened.pixel_data, opened.syntax, layout)
    else:
        words, precision = decode_native(opened.pixel_data, layout), layout.bits_allocated
    if layout.samples > 1:
        return words.astype(np.uint8, copy=False)
    bits = words.dtype.itemsize * 8
    stored = min(layout.bits_stored, bits)
    # A compressed stream of as many bits as the samples has no bits below them.
    shift = min(max(layout.high_bit + 1 - stored, 0), bits - stored) if precision > stored else 0
    return to_grey(words, SampleFormat(bits, stored, shift, layout.is_signed), opened.attributes)


def _with_square_pixels(pixels: NDArray[np.uint8], attributes: Attributes) -> NDArray[np.uint8]:
    """Stretches an image whose pixels are higher than wide, or wider than high."""
    sizes = (attributes.decimals(keyword) for keyword in PIXEL_SIZES)
    height, width = next((size[:2] for size in sizes if len(size) > 1 and min(size[:2]) > 0), (1.0, 1.0))
    if max(height / width, width / height) < MIN_PIXEL_RATIO:
        return pixels
    rows, columns = pixels.shape[:2]
    new_rows = round(rows * max(height / width, 1))
    new_columns = round(columns * max(width / height, 1))
    check_size(new_columns, new_rows)
    return np.asarray(Image.fromarray(pixels).resize((new_columns, new_rows), Image.Resampling.BILINEAR))

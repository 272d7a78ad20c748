"""Files that real devices and programs write, made from one drawn X-ray, and the picture that each must show."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.tag import BaseTag
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

from tests.ml.drawings import draw_bone

Levels = NDArray[np.uint8]

BONE: Levels = draw_bone("Oblique", size=(96, 120))
# The same picture in 12 bits, with details below the 8-bit levels.
TWELVE = (BONE.astype(np.uint16) * 16 + np.random.default_rng(0).integers(0, 16, BONE.shape)).astype(
    np.uint16
)
FULL_WINDOW = {"WindowCenter": "2048", "WindowWidth": "4096"}


def to_levels(shown: NDArray[Any]) -> Levels:
    """Returns 8-bit levels of values from 0 (black) to 1 (white)."""
    return np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)


def windowed(values: NDArray[Any], center: float = 2048, width: float = 4096) -> Levels:
    """Returns the levels of PS3.3 C.11.2.1.2.1."""
    return to_levels((values - (center - 0.5)) / (width - 1) + 0.5)


def stretched(values: NDArray[Any]) -> Levels:
    """Returns the levels from the lowest to the highest value."""
    return to_levels((values.astype(float) - values.min()) / (values.max() - values.min()))


def dataset(pixels: NDArray[Any] | None = TWELVE, **changes: Any) -> Dataset:
    """Returns an X-ray with 12 bits stored; `changes` set elements, or remove them with None."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = DigitalXRayImageStorageForPresentation, generate_uid()
    data.PatientName, data.Modality = "Secret^Name", "DX"
    if pixels is not None:
        bits = 8 * pixels.dtype.itemsize
        data.Rows, data.Columns = pixels.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored = bits, min(bits, 12)
        data.HighBit, data.PixelRepresentation = data.BitsStored - 1, int(pixels.dtype.kind == "i")
        data.PixelData = pixels.tobytes()
        data["PixelData"].VR = "OW"
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        elif isinstance(value, Raw):
            data[name] = value.element(name)
        else:
            setattr(data, name, value)
    return data


class Raw:
    """A value as bytes, which pydicom would refuse to write."""

    def __init__(self, value: bytes, vr: str = "") -> None:
        self.value, self.vr = value, vr

    def element(self, name: str) -> Any:
        tag = tag_for_keyword(name)
        assert tag is not None
        vr = self.vr or dictionary_VR(tag).split()[0]
        padded = self.value + b" " * (len(self.value) % 2)
        return RawDataElement(BaseTag(tag), vr, len(padded), padded, 0, False, True)


def written(data: Dataset, syntax: Any = ExplicitVRLittleEndian) -> bytes:
    """Returns a file of the data set."""
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    buffer = io.BytesIO()
    dcmwrite(buffer, data, enforce_file_format=True)
    return buffer.getvalue()


def dicom(
    pixels: NDArray[Any] | None = TWELVE, *, syntax: Any = ExplicitVRLittleEndian, **changes: Any
) -> bytes:
    """Returns a DICOM file; see dataset."""
    return written(dataset(pixels, **changes), syntax)


def encapsulated(stream: bytes, syntax: Any, pixels: NDArray[Any] = BONE, **changes: Any) -> bytes:
    """Returns a DICOM file with a compressed stream."""
    data = dataset(pixels, **changes)
    data.PixelData = encapsulate([stream])
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    return written(data, syntax)


def bare(content: bytes, *, keep_meta: bool = False) -> bytes:
    """Returns a DICOM file without preamble and prefix, and without file meta information."""
    length = struct.unpack_from("<I", content, 140)[0]
    return content[132:] if keep_meta else content[144 + length :]


def without_transfer_syntax(content: bytes, replacement: bytes | None = None) -> bytes:
    """Returns a DICOM file whose file meta information lacks the transfer syntax, or has another one."""
    start = content.index(b"\x02\x00\x10\x00UI")
    length = struct.unpack_from("<H", content, start + 6)[0]
    element = b""
    if replacement is not None:
        padded = replacement + b"\0" * (len(replacement) % 2)
        element = content[start : start + 6] + struct.pack("<H", len(padded)) + padded
    meta_length = struct.unpack_from("<I", content, 140)[0] + len(element) - length - 8
    rest = content[144:start] + element + content[start + 8 + length :]
    return content[:140] + struct.pack("<I", meta_length) + rest


def lookup_item(descriptor: list[int], data: bytes, **changes: Any) -> Dataset:
    """Returns an item of a modality or VOI LUT sequence; the descriptor's values are written as unsigned."""
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [value % 2**16 for value in descriptor])
    item.add_new("LUTData", "OW", data)
    for name, value in changes.items():
        if value is None:
            delattr(item, name)
        else:
            setattr(item, name, value)
    return item


def jpeg(pixels: NDArray[Any] = BONE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 95, **options})
    return buffer.getvalue()


def png(pixels: NDArray[Any] = BONE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def segment(marker: int, data: bytes) -> bytes:
    """Returns a JPEG segment."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def insert_segment(stream: bytes, marker: int, data: bytes) -> bytes:
    """Returns a JPEG file with one more segment, after its start."""
    return stream[:2] + segment(marker, data) + stream[2:]


def chunk(kind: bytes, data: bytes, *, is_valid: bool = True) -> bytes:
    """Returns a PNG chunk, with a wrong checksum unless it is valid."""
    checksum = zlib.crc32(kind + data) ^ (0 if is_valid else 1)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def insert_chunk(content: bytes, kind: bytes, data: bytes, *, is_valid: bool = True) -> bytes:
    """Returns a PNG file with one more chunk, after its header."""
    return content[:33] + chunk(kind, data, is_valid=is_valid) + content[33:]


def of_jpeg(stream: bytes) -> Levels:
    """Returns the levels of a grey JPEG as its decoder makes them."""
    with Image.open(io.BytesIO(stream)) as image:
        return np.array(image.convert("L"))

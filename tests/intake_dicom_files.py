"""Kinds of DICOM files by their headers, encodings and compressions, readable or refused."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
)

from tests.extended_jpeg import encode as encode_extended
from tests.intake_cases import Case
from tests.intake_photographs import with_fill_bytes
from tests.intake_pictures import (
    BONE,
    FULL_WINDOW,
    TWELVE,
    Levels,
    Raw,
    bare,
    dicom,
    encapsulated,
    insert_segment,
    jpeg,
    of_jpeg,
    windowed,
    without_transfer_syntax,
    written,
)
from tests.ml.compressed import compress

SHOWN = windowed(TWELVE)
STREAM = jpeg()
STREAM_SHOWN = of_jpeg(STREAM)
CUT_OFF = "The DICOM file is cut off: its end is missing."
BURNED_IN = (
    "The DICOM file declares burned-in annotations, which may identify the patient. "
    "Please upload an image without them."
)
FOR_PROCESSING = (
    "The DICOM file contains the detector's raw data (FOR PROCESSING), in which bone may be dark. "
    "Please upload the image that is meant for viewing (FOR PRESENTATION)."
)
DICOMDIR = "The file is a DICOMDIR, the table of contents of a disc. Please upload the images that it lists."
NOT_STATED = (
    "The DICOM file does not say that it is an X-ray: its modality is {}. "
    "X-rays have the modality CR, DX, DR, RG, RF, XA, IO, PX or OT."
)


def plain(**changes: Any) -> bytes:
    return dicom(**{**FULL_WINDOW, **changes})


def case(kind: str, expected: Levels | str, make: Callable[[], bytes] | None = None, **changes: Any) -> Case:
    return Case("DICOM", kind, make or (lambda: plain(**changes)), expected)


def deflated() -> bytes:
    data = bare(plain())
    compressor = zlib.compressobj(wbits=-15)
    body = compressor.compress(data) + compressor.flush()
    head = plain()
    return (
        without_transfer_syntax(head[: len(head) - len(data)], DeflatedExplicitVRLittleEndian.encode()) + body
    )


def directory() -> bytes:
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.1.3.10", "1.2.3"
    data.FileSetID = "DISC"
    data.DirectoryRecordSequence = []
    content = written(data)
    return content


def lossless(pixels: Any = TWELVE) -> bytes:
    return compress(dicom(pixels, **FULL_WINDOW), "jpeg lossless")


def extended() -> bytes:
    return encapsulated(encode_extended(TWELVE), JPEGExtended12Bit, TWELVE, **FULL_WINDOW)


def without_delimiter(content: bytes) -> bytes:
    return content[: content.rindex(b"\xfe\xff\xdd\xe0")]


def named(syntax: str) -> Callable[[], bytes]:
    return lambda: without_transfer_syntax(plain(), syntax.encode())


ENCODING_CASES = [
    case("explicit VR", SHOWN),
    case("implicit VR", SHOWN, lambda: plain(syntax=ImplicitVRLittleEndian)),
    case("no transfer syntax, explicit VR", SHOWN, lambda: without_transfer_syntax(plain())),
    case("no transfer syntax, implicit VR", SHOWN, lambda: without_transfer_syntax(plain(syntax=ImplicitVRLittleEndian))),
    case("no transfer syntax, big endian", SHOWN, lambda: without_transfer_syntax(dicom(TWELVE.byteswap(), syntax=ExplicitVRBigEndian, **FULL_WINDOW))),
    case("no transfer syntax, JPEG", STREAM_SHOWN, lambda: without_transfer_syntax(encapsulated(STREAM, JPEGBaseline8Bit))),
    case("no transfer syntax, JPEG lossless", SHOWN, lambda: without_transfer_syntax(lossless())),
    case("no transfer syntax, JPEG-LS", SHOWN, lambda: without_transfer_syntax(compress(plain(), "jpeg-ls"))),
    case("no transfer syntax, JPEG 2000", SHOWN, lambda: without_transfer_syntax(compress(plain(), "jpeg 2000 lossless"))),
    case("an empty transfer syntax", SHOWN, named("")),
    case("a transfer syntax with spaces", SHOWN, named(f"{ExplicitVRLittleEndian} ")),
    case("a transfer syntax of explicit VR, implicit VR", SHOWN, lambda: without_transfer_syntax(plain(syntax=ImplicitVRLittleEndian), ExplicitVRLittleEndian.encode())),
    case("a transfer syntax of implicit VR, explicit VR", SHOWN, lambda: without_transfer_syntax(plain(), ImplicitVRLittleEndian.encode())),
    case("no preamble, explicit VR", SHOWN, lambda: bare(plain())),
    case("no preamble, implicit VR", SHOWN, lambda: bare(plain(syntax=ImplicitVRLittleEndian))),
    case("no preamble, big endian", SHOWN, lambda: bare(dicom(TWELVE.byteswap(), syntax=ExplicitVRBigEndian, **FULL_WINDOW))),
    case("no preamble, but file meta information", SHOWN, lambda: bare(plain(), keep_meta=True)),
    case("no preamble, but its prefix", SHOWN, lambda: plain()[128:]),
    case("no preamble, JPEG", STREAM_SHOWN, lambda: bare(encapsulated(STREAM, JPEGBaseline8Bit))),
    case("a mention of deflate in an attribute", SHOWN, AvailableTransferSyntaxUID=DeflatedExplicitVRLittleEndian),
    case("a transfer syntax of deflate, but plain", SHOWN, named(DeflatedExplicitVRLittleEndian)),
    case("data behind the pixels", SHOWN, lambda: plain() + b"\xfc\xff\xfc\xffOB\0\0\x10\0\0\0" + bytes(16)),
    case("the element behind the pixels is cut off", SHOWN, lambda: plain() + b"\xfc\xff\xfc\xffOB\0\0\0\1\0\0" + bytes(16)),
    case("deflated", "The DICOM file is deflated (compressed as a whole), which is not supported.", deflated),
    case("deflated, no transfer syntax", "The DICOM file is deflated (compressed as a whole), which is not supported.", lambda: without_transfer_syntax(deflated())),
    case("a transfer syntax that no standard knows", "The transfer syntax of the DICOM file is not supported.", named("1.2.3.4.5.6")),
    case("a transfer syntax that is not a UID", "The transfer syntax of the DICOM file is not supported.", named("explicit")),
    case("a retired compression", "The compression of the DICOM file is not supported.", lambda: without_transfer_syntax(lossless(), b"1.2.840.10008.1.2.4.52")),
    case("a film", "The compression of the DICOM file is not supported.", lambda: without_transfer_syntax(lossless(), b"1.2.840.10008.1.2.4.102")),
]  # fmt: skip

COMPRESSION_CASES = [
    case("JPEG", STREAM_SHOWN, lambda: encapsulated(STREAM, JPEGBaseline8Bit)),
    case("JPEG of 8 bits in 16 allocated", STREAM_SHOWN, lambda: encapsulated(STREAM, JPEGBaseline8Bit, BitsAllocated=16)),
    case("JPEG of 8 bits, 12 stored in 16", windowed(STREAM_SHOWN, 128, 256), lambda: encapsulated(STREAM, JPEGBaseline8Bit, BitsAllocated=16, BitsStored=12, HighBit=11, WindowCenter="128", WindowWidth="256")),
    case("JPEG with fill bytes", STREAM_SHOWN, lambda: encapsulated(with_fill_bytes(STREAM), JPEGBaseline8Bit)),
    case("JPEG with marker bytes in a comment", STREAM_SHOWN, lambda: encapsulated(insert_segment(STREAM, 0xFE, b"\xff\xc0\0\x0b" * 50), JPEGBaseline8Bit)),
    case("JPEG without its end marker", STREAM_SHOWN, lambda: encapsulated(STREAM[:-2], JPEGBaseline8Bit)),
    case("JPEG with data behind its end", STREAM_SHOWN, lambda: encapsulated(STREAM + b"\xff\xda" * 200, JPEGBaseline8Bit)),
    case("JPEG Extended of 12 bits", SHOWN, extended),
    case("JPEG Extended of 12 bits, declared as baseline", SHOWN, lambda: without_transfer_syntax(extended(), JPEGBaseline8Bit.encode())),
    case("JPEG Extended of 12 bits without its end marker", SHOWN, lambda: encapsulated(encode_extended(TWELVE)[:-2], JPEGExtended12Bit, TWELVE, **FULL_WINDOW)),
    case("JPEG Extended of 12 bits, no transfer syntax", SHOWN, lambda: without_transfer_syntax(extended())),
    case("JPEG of 8 bits, declared as extended", STREAM_SHOWN, lambda: encapsulated(STREAM, JPEGExtended12Bit)),
    case("JPEG lossless", SHOWN, lossless),
    case("JPEG lossless of 8 bits in 16 allocated", BONE, lambda: compress(dicom(BONE.astype(np.uint16), BitsStored=8, HighBit=7), "jpeg lossless")),
    case("JPEG lossless, left-aligned", SHOWN, lambda: compress(dicom(TWELVE << 4, BitsStored=16, HighBit=15, WindowCenter="32768", WindowWidth="65536"), "jpeg lossless")),
    case("JPEG-LS", SHOWN, lambda: compress(plain(), "jpeg-ls")),
    case("JPEG 2000 lossless", SHOWN, lambda: compress(plain(), "jpeg 2000 lossless")),
    case("run lengths", SHOWN, lambda: compress(plain(), "run lengths")),
    case("no delimiter behind the compressed pixels", SHOWN, lambda: without_delimiter(lossless())),
    case("compressed pixels that are damaged", "The DICOM file is cut off or damaged.", lambda: encapsulated(b"damaged" * 100, JPEGBaseline8Bit)),
    case("a compressed picture of another size", "The header of the DICOM file and its compressed image differ in size.", lambda: encapsulated(STREAM, JPEGBaseline8Bit, Rows=100)),
    case("a compressed picture in colour, declared as grey", "The header of the DICOM file and its compressed image differ in their colours.", lambda: encapsulated(jpeg(np.stack([BONE] * 3, -1)), JPEGBaseline8Bit)),
    case("a compressed picture of 12 bits, 8 declared", "The DICOM file has more bits per sample than its header declares.", lambda: encapsulated(_stream(lossless()), JPEGLosslessSV1)),
    case("JPEG 2000 of 12 bits, 8 declared", "The DICOM file has more bits per sample than its header declares.", lambda: encapsulated(_stream(compress(plain(), "jpeg 2000 lossless"), b"\xff\x4f\xff\x51"), JPEG2000Lossless)),
]  # fmt: skip


def _stream(content: bytes, start: bytes = b"\xff\xd8\xff") -> bytes:
    return content[content.index(start) : content.rindex(b"\xff\xd9") + 2]


HEADER_CASES = [
    case("the modality DR", SHOWN, Modality="DR"),
    case("the modality DX in small letters, with spaces", SHOWN, Modality=Raw(b" dx ")),
    case("the modality CR with a zero byte", SHOWN, Modality=Raw(b"CR\0\0")),
    case("MONOCHROME2 in small letters", SHOWN, PhotometricInterpretation=Raw(b"monochrome2 ")),
    case("no burned-in annotation", SHOWN, BurnedInAnnotation="NO"),
    case("an empty burned-in annotation", SHOWN, BurnedInAnnotation=Raw(b"")),
    case("FOR PRESENTATION", SHOWN, PresentationIntentType="FOR PRESENTATION"),
    case("another modality", "The DICOM file is not an X-ray of a bone (its modality is CT).", Modality=Raw(b" ct ")),
    case("an unknown modality", NOT_STATED.format("unknown"), Modality="MEIER"),
    case("no modality", NOT_STATED.format("not stated"), Modality=None),
    case("an empty modality", NOT_STATED.format("not stated"), Modality=Raw(b"")),
    case("burned-in annotations", BURNED_IN, BurnedInAnnotation="YES"),
    case("burned-in annotations, with a space before", BURNED_IN, BurnedInAnnotation=Raw(b" YES")),
    case("burned-in annotations, in small letters", BURNED_IN, BurnedInAnnotation=Raw(b"yes ")),
    case("FOR PROCESSING", FOR_PROCESSING, PresentationIntentType="FOR PROCESSING"),
    case("FOR PROCESSING in small letters, with spaces", FOR_PROCESSING, PresentationIntentType=Raw(b" for processing ")),
    case("FOR PROCESSING by its SOP class only", FOR_PROCESSING, SOPClassUID=DigitalXRayImageStorageForProcessing),
    case("DICOMDIR", DICOMDIR, directory),
    case("no pixels", "The DICOM file contains no image.", lambda: dicom(None)),
    case("two frames", "The DICOM file has several frames. Please upload a single image.", lambda: dicom(np.vstack([TWELVE, TWELVE]), Rows=120, NumberOfFrames="2")),
    case("no size", "The header of the DICOM file lacks the size of the image.", Rows=Raw(b"", "US")),
    case("more bits stored than allocated", "The header of the DICOM file contradicts itself.", BitsStored=20),
    case("a palette", "The colour format of the DICOM file is not supported.", PhotometricInterpretation="PALETTE COLOR"),
    case("32 bits", "The DICOM file has 32 bits per sample; 8 are supported, and 16 in greyscale images.", BitsAllocated=32),
    case("fewer pixels than declared", "The DICOM file has fewer pixels than its header declares.", lambda: dicom(TWELVE, Rows=200)),
]  # fmt: skip

CUT_OFF_CASES = [
    case("cut off in the pixels", CUT_OFF, lambda: plain()[:-5000]),
    case("cut off before the last byte", CUT_OFF, lambda: plain()[:-1]),
    case("cut off in the compressed pixels", CUT_OFF, lambda: lossless()[:-2000]),
    case("cut off in the compressed pixels, implicit VR", CUT_OFF, lambda: without_transfer_syntax(lossless()[: len(lossless()) // 2])),
    case("cut off in the file meta information", CUT_OFF, lambda: plain()[:200]),
    case("cut off behind the prefix", CUT_OFF, lambda: plain()[:132]),
    case("cut off in the attributes", CUT_OFF, lambda: plain()[: plain().index(b"DX") + 40]),
    case("cut off before the modality", CUT_OFF, lambda: plain()[: plain().index(b"\x08\0\x60\0CS") - 3]),
    case("cut off in a JPEG stream", CUT_OFF, lambda: encapsulated(STREAM[:-400], JPEGBaseline8Bit)),
]  # fmt: skip

FILE_CASES = [*ENCODING_CASES, *COMPRESSION_CASES, *HEADER_CASES, *CUT_OFF_CASES]

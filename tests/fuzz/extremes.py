"""The costliest files that we know how to make: each as large as the limits let it be."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ml.data import decoder_process
from ml.data.image_limits import MAX_BYTES
from tests.fuzz.images import read
from tests.fuzz.mutations import png_chunk
from tests.fuzz.watch import watch
from tests.ml.compressed import compress
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone

SIDE = 8000
# Below MAX_BYTES, with room for what stands around.
FILL = MAX_BYTES - 1024**2


def large(mode: str) -> Image.Image:
    """A soft ramp with noise, as in an X-ray, of 64 million pixels."""
    random = np.random.default_rng(0)
    grey = np.tile(np.linspace(0, 250, SIDE).astype(np.uint8), (SIDE, 1))
    grey += random.integers(0, 6, (SIDE, SIDE), np.uint8)
    bands = [Image.fromarray(np.roll(grey, 99 * band, band % 2)) for band in range(len(mode))]
    return Image.merge(mode, bands) if len(mode) > 1 else bands[0]


def large_png(mode: str) -> bytes:
    return encoded(large(mode), compress_level=1)


def sixteen_bit_png() -> bytes:
    return encoded(Image.fromarray(np.asarray(large("L")).astype(np.uint16) * 257), compress_level=1)


def large_jpeg(mode: str) -> bytes:
    return encoded(large(mode), "JPEG", quality=90, progressive=True)


def jpeg_of_many_scans() -> bytes:
    whole = encoded(large("RGB"), "JPEG", quality=90, progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + scan * min(85, (FILL - len(whole)) // len(scan)) + b"\xff\xd9"


def jpeg_of_small_segments() -> bytes:
    bone = encoded(Image.fromarray(draw_bone()), "JPEG")
    return bone[:2] + b"\xff\xfe\x00\x02" * (FILL // 4) + bone[2:]


def jpeg_of_padding() -> bytes:
    bone = encoded(Image.fromarray(draw_bone()), "JPEG")
    return bone[:2] + b"\xff" * FILL + bone[2:]


def png_of_small_chunks() -> bytes:
    bone = encoded(Image.fromarray(draw_bone()))
    return bone[:33] + png_chunk(b"vpAg", b"") * (FILL // 12) + bone[33:]


def png_of_texts() -> bytes:
    bone = encoded(Image.fromarray(draw_bone()))
    return bone[:33] + png_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6))) * 5000 + bone[33:]


def plain_dicom() -> bytes:
    return dicom(np.asarray(large("L")).astype(np.uint16) * 16)


def compressed_dicom(syntax: str) -> bytes:
    return compress(plain_dicom(), syntax)


def colour_dicom(syntax: str) -> bytes:
    pixels = np.asarray(large("RGB"))
    plain = dicom(
        pixels.reshape(SIDE, -1),
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        Rows=SIDE,
        Columns=SIDE,
    )
    return compress(plain, syntax) if syntax else plain


def empty_jpeg_2000() -> bytes:
    """A stream of a few bytes that claims 64 million pixels, as its header does."""
    data = dcmread(io.BytesIO(compress(dicom(draw_bone()), "jpeg 2000 lossless")))
    frame = bytearray(next(generate_frames(data.PixelData, number_of_frames=1)))
    size = struct.pack(">2I", SIDE, SIDE)
    frame[8:16], frame[24:32] = size, size
    data.Rows = data.Columns = SIDE
    data.PixelData = encapsulate([bytes(frame)])
    content = io.BytesIO()
    data.save_as(content)
    return content.getvalue()


def dicom_of_small_elements() -> bytes:
    whole = dicom()
    place = whole.index(b"\x08\x00\x16\x00")
    return whole[:place] + b"\x07\x00\x01\x10LO\x00\x00" * (FILL // 8) + whole[place:]


def dicom_of_nested_sequences() -> bytes:
    whole = dicom()
    place = whole.index(b"\x08\x00\x16\x00")
    nested = b"\x07\x00\x01\x10SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    return whole[:place] + nested * (FILL // 20) + whole[place:]


def dicom_of_small_fragments() -> bytes:
    whole = compress(dicom(draw_bone()), "run lengths")
    place = whole.rindex(b"\xfe\xff\xdd\xe0")
    return whole[:place] + b"\xfe\xff\x00\xe0\x00\x00\x00\x00" * (FILL // 8) + whole[place:]


def deflated_dicom() -> bytes:
    """200 MB that inflate to 200 GB, and say so only behind a version of 5000 bytes."""
    version, syntax = bytes(5000), DeflatedExplicitVRLittleEndian.encode() + b"\0"
    head = bytes(128) + b"DICM"
    head += struct.pack("<2H2s2xI", 2, 1, b"OB", len(version)) + version
    head += struct.pack("<2H2sH", 2, 16, b"UI", len(syntax)) + syntax
    squeezer = zlib.compressobj(9, wbits=-15)
    megabyte = squeezer.compress(bytes(1024**2)) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return head + megabyte * (FILL // len(megabyte)) + squeezer.flush()


def extremes() -> Iterator[tuple[str, Callable[[], bytes]]]:
    for mode in ("L", "RGB", "RGBA"):
        yield f"PNG, 64 million pixels, {mode}", lambda mode=mode: large_png(mode)
    yield "PNG, 64 million pixels of 16 bits", sixteen_bit_png
    for mode in ("L", "RGB", "CMYK"):
        yield f"JPEG, progressive, 64 million pixels, {mode}", lambda mode=mode: large_jpeg(mode)
    yield "JPEG, the same pixels in as many scans as fit", jpeg_of_many_scans
    yield "JPEG of 50 million empty segments", jpeg_of_small_segments
    yield "JPEG of 200 million bytes of padding", jpeg_of_padding
    yield "PNG of 17 million empty chunks", png_of_small_chunks
    yield "PNG of texts that inflate to 5 GB", png_of_texts
    yield "DICOM, 64 million pixels of 16 bits", plain_dicom
    for syntax in ("run lengths", "jpeg lossless", "jpeg-ls", "jpeg 2000 lossless"):
        yield f"DICOM, the same pixels, {syntax}", lambda syntax=syntax: compressed_dicom(syntax)
    for syntax in ("", "jpeg 2000 lossless", "jpeg lossless", "jpeg-ls"):
        yield (
            f"DICOM, 64 million pixels in colour, {syntax or 'plain'}",
            lambda syntax=syntax: colour_dicom(syntax),
        )
    yield "DICOM, JPEG 2000 of 64 million pixels that are not there", empty_jpeg_2000
    yield "DICOM of 26 million empty elements", dicom_of_small_elements
    yield "DICOM of 10 million sequences in one another", dicom_of_nested_sequences
    yield "DICOM of 26 million empty fragments", dicom_of_small_fragments
    yield "DICOM that inflates to 200 GB", deflated_dicom


def measure() -> Iterator[str]:
    """A table for docs/file-intake.md, row by row."""
    yield "| file | size | outcome | processor time | memory |"
    yield "|---|---|---|---|---|"
    for name, make in extremes():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "file")
            _write_in_fork(make, path)
            outcome = next(
                watch(read, (each.read_bytes() for each in [path]), decoder_process.apply_resource_limits)
            )
            size = f"{path.stat().st_size / 1024**2:.1f} MB"
        took = f"{outcome.cpu_seconds:.1f} s | {outcome.memory_mb:,.0f} MB"
        detail = f": {outcome.detail}" if outcome.kind == "refused" else ""
        yield f"| {name} | {size} | {outcome.kind}{detail} | {took} |"


def _write_in_fork(make: Callable[[], bytes], path: Path) -> None:
    """What making it takes would else count as what reading it takes."""
    child = os.fork()
    if child == 0:
        path.write_bytes(make())
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0

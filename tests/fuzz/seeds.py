"""Files for fuzzing to begin with: drawn X-rays in every coding, pydicom's test files, real ones if there are."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, PngImagePlugin
from pydicom import dcmread

from tests.ml.compressed import SYNTAXES, compress
from tests.ml.data.test_dicom import dicom, lookup_table
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone
from tests.servers import ROOT

REAL = ROOT.parent / "shared" / "data"
LARGEST = 100_000
# One in so many of the real pictures.
EVERY = 90


def images() -> dict[str, bytes]:
    """JPEG, PNG and DICOM files by name, always in the same order."""
    return {
        name: content
        for group in (_pictures(), _drawn_dicom(), _dicom_of_pydicom(), _real())
        for name, content in group
    }


def _pictures() -> Iterator[tuple[str, bytes]]:
    bone = Image.fromarray(draw_bone("Oblique", size=(72, 96)))
    colour = Image.merge("RGB", (bone, bone.transpose(Image.Transpose.ROTATE_180), bone))
    clear = colour.copy()
    clear.putalpha(bone)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "Meier^Hans"
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Patient", "Meier^Hans", zip=True)
    notes.add_itxt("Title", "Meier", "de", "Titel")
    sixteen = Image.fromarray(np.asarray(bone).astype(np.uint16) * 257)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        yield f"{mode}.png", encoded((clear if mode.endswith("A") else colour).convert(mode))
    yield "16.png", encoded(sixteen)
    yield "clear-palette.png", encoded(colour.quantize(16), transparency=3)
    yield "notes.png", encoded(bone, pnginfo=notes, exif=exif, icc_profile=bytes(500), dpi=(300, 300))
    yield "animated.png", encoded(bone, save_all=True, append_images=[colour.convert("L")])
    for mode in ("L", "RGB", "CMYK"):
        for progressive in (False, True):
            yield f"{mode}-{progressive}.jpg", encoded(colour.convert(mode), "JPEG", progressive=progressive)
    yield "notes.jpg", encoded(colour, "JPEG", exif=exif, icc_profile=bytes(500), comment="Meier")
    yield "restarts.jpg", encoded(colour, "JPEG", restart_marker_blocks=3, subsampling=0)
    yield "several.jpg", encoded(colour, "MPO", save_all=True, append_images=[bone])


def _drawn_dicom() -> Iterator[tuple[str, bytes]]:
    bone = draw_bone("Comminuted", size=(48, 64))
    twelve = bone.astype(np.uint16) * 16
    for name, plain in (
        ("8", dicom(bone)),
        ("12", dicom(twelve)),
        ("signed", dicom(twelve.astype(np.int16))),
    ):
        yield f"plain-{name}.dcm", plain
        for syntax in SYNTAXES:
            if syntax != "jpeg" or name == "8":
                yield f"{syntax}-{name}.dcm", compress(plain, syntax)
    table = lookup_table([4096, 0, 16], np.arange(4096)[::-1] * 16)
    yield "window.dcm", dicom(twelve, WindowCenter=[1000, 2000], WindowWidth=[1000, 2000])
    yield "rescaled.dcm", dicom(twelve, RescaleSlope=2, RescaleIntercept=-1000, PixelPaddingValue=0)
    yield "lookup.dcm", dicom(twelve, VOILUTSequence=table)
    colour = dict(
        SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="RGB", Rows=64, Columns=48
    )
    yield "colour.dcm", dicom(np.repeat(bone, 3, axis=1), **colour)


def _dicom_of_pydicom() -> Iterator[tuple[str, bytes]]:
    """As if each were an X-ray, so that its pixels are decoded; those without pixels are left out."""
    folder = Path(pydicom.__file__).parent / "data" / "test_files"
    for path in sorted(folder.glob("*.dcm")):
        content = path.read_bytes()
        if len(content) > LARGEST:
            continue
        if xray := _as_xray(content):
            yield path.name, xray


def _as_xray(content: bytes) -> bytes | None:
    buffer = io.BytesIO()
    try:
        data: Any = dcmread(io.BytesIO(content))
        data.PixelData, data.Modality = data.PixelData, "CR"
        data.save_as(buffer, enforce_file_format=True)
    except Exception:  # It has no pixels, or is damaged on purpose.
        return None
    return buffer.getvalue()


def _real() -> Iterator[tuple[str, bytes]]:
    if not REAL.is_dir():
        return
    pictures = sorted((REAL / "bone-break").rglob("*.jpg"))[::EVERY]
    for path in [*pictures, *sorted((REAL / "truncated").glob("*.jpg"))]:
        if path.stat().st_size <= LARGEST:
            yield path.name, path.read_bytes()
    for path in sorted((REAL / "dicom").glob("*.dcm")):
        if xray := _as_xray(path.read_bytes()):
            yield path.name, xray

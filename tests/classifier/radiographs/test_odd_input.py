"""Odd but valid pictures are read rightly, and what identifies a patient does not stay."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image, PngImagePlugin
from rest_framework.test import APIClient

from tests.ml.data.test_dicom import PATIENT, dicom
from tests.ml.data.test_images import encoded
from tests.ml.drawings import draw_bone
from tests.uploads import body_of, send

BONE = draw_bone("Oblique")
GREY = Image.fromarray(BONE)
RGB = GREY.convert("RGB")
pytestmark = pytest.mark.usefixtures("model")


def with_alpha() -> Image.Image:
    image = RGB.copy()
    image.putalpha(255)
    return image


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    return encoded(GREY.transpose(Image.Transpose.ROTATE_90), "PNG", exif=exif)


SAME: dict[str, Callable[[], bytes]] = {
    "grey": lambda: encoded(GREY),
    "rgb": lambda: encoded(RGB),
    "palette": lambda: encoded(GREY.convert("P")),
    "cmyk": lambda: encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "16 bit": lambda: encoded(Image.fromarray(BONE.astype(np.uint16) * 257)),
    "alpha": lambda: encoded(with_alpha()),
    "turned by exif": turned,
    "progressive": lambda: encoded(GREY, "JPEG", quality=95, progressive=True),
    "dicom": lambda: dicom(BONE),
}


def picture(client: APIClient, content: bytes, name: str = "x-ray") -> tuple[dict[str, Any], Image.Image]:
    answer = send(client, SimpleUploadedFile(name, content))
    assert answer.status_code == 201, answer.content
    file = client.get(f"/api/v1/radiographs/{answer.json()['id']}/image/")
    return answer.json(), Image.open(io.BytesIO(body_of(file)))


@pytest.mark.parametrize("kind", SAME)
def test_the_same_x_ray_in_another_coding_is_the_same_picture(alice_api: APIClient, kind: str) -> None:
    body, image = picture(alice_api, SAME[kind]())
    assert (body["height"], body["width"]) == BONE.shape
    assert np.abs(np.array(image.convert("L")).astype(int) - BONE).mean() < 2


@pytest.mark.parametrize("size", [(56, 400), (580, 100)])
def test_very_narrow_pictures_keep_their_proportions(alice_api: APIClient, size: tuple[int, int]) -> None:
    body, image = picture(alice_api, encoded(GREY.resize(size), "JPEG"))
    assert (body["width"], body["height"]) == image.size == size


def test_the_name_says_nothing_about_the_kind(alice_api: APIClient) -> None:
    _, image = picture(alice_api, encoded(GREY, "JPEG"), "x-ray.pdf")
    assert image.format == "PNG"


def test_nothing_but_pixels_is_kept(alice_api: APIClient, files: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = PATIENT
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", PATIENT)
    for content in (encoded(GREY, "JPEG", exif=exif), encoded(GREY, pnginfo=text), dicom(BONE)):
        assert PATIENT.encode() in content
        _, image = picture(alice_api, content)
        assert image.info == {}
    kept = [path.read_bytes() for path in files.rglob("*") if path.is_file()]
    assert len(kept) == 6
    assert not any(b"Secret" in content for content in kept)


def test_real_dicom_files_are_read(alice_api: APIClient, shared: Path) -> None:
    for name in ("RG3_J2KR.dcm", "RG3_J2KI.dcm"):
        body, image = picture(alice_api, (shared / "data/dicom" / name).read_bytes(), name)
        assert image.size == (body["width"], body["height"])
        assert np.ptp(np.array(image)) > 100

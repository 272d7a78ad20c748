"""What is no X-ray is refused with one sentence, and nothing of it is kept."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as django_settings
from django.core.files.uploadedfile import SimpleUploadedFile
from PIL import Image
from rest_framework.test import APIClient

from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.ml.data.test_dicom import dicom
from tests.ml.data.test_images import encoded, png_with_header
from tests.ml.drawings import draw_bone
from tests.uploads import send

MEGABYTE = 1024**2
BONE = draw_bone()


def animated() -> bytes:
    frames = [Image.fromarray(BONE), Image.fromarray(255 - BONE)]
    content = io.BytesIO()
    frames[0].save(content, "PNG", save_all=True, append_images=frames[1:])
    return content.getvalue()


def gif() -> bytes:
    return encoded(Image.fromarray(BONE), "GIF")


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "empty": ("empty.jpg", lambda: b"", "The file is empty."),
    "text": ("text.jpg", lambda: b"just some text", "The file is not a JPEG, PNG or DICOM image."),
    "html": ("x.png", lambda: b"<html><script>alert(1)</script>", "not a JPEG, PNG or DICOM image."),
    "svg": ("x.png", lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "not a JPEG, PNG or DICOM image."),
    "gif": ("x.jpg", gif, "not a JPEG, PNG or DICOM image."),
    "truncated jpeg": (
        "x.jpg",
        lambda: encoded(Image.fromarray(BONE), "JPEG")[:-2000],
        "The JPEG file is cut off",
    ),
    "truncated png": ("x.png", lambda: encoded(Image.fromarray(BONE))[:-2000], "The PNG file is cut off"),
    "damaged png": (
        "x.png",
        lambda: encoded(Image.fromarray(BONE)).replace(b"IDAT", b"IDAX"),
        "The PNG file is damaged",
    ),
    "bomb": ("x.png", lambda: png_with_header(50_000, 50_000), "The image is 50000 x 50000 pixels"),
    "tiny": ("x.png", lambda: encoded(Image.new("L", (8, 8))), "each side must be at least"),
    "animated": ("x.png", animated, "The image is animated"),
    "dicom without pixels": ("x.dcm", lambda: dicom(None), "The DICOM file contains no image."),
    "dicom of several frames": (
        "x.dcm",
        lambda: dicom(np.zeros((3, 64, 64), np.uint16), NumberOfFrames=3),
        "The DICOM file has several frames",
    ),
    "ct": ("x.dcm", lambda: dicom(Modality="CT"), "not an X-ray of a bone (its modality is CT)."),
    "mr": ("x.dcm", lambda: dicom(Modality="MR"), "not an X-ray of a bone (its modality is MR)."),
    "ultrasound": ("x.dcm", lambda: dicom(Modality="US"), "not an X-ray of a bone (its modality is US)."),
}


def assert_nothing_kept(stored: Callable[[], list[str]]) -> None:
    assert (Radiograph.objects.count(), Prediction.objects.count(), stored()) == (0, 0, [])
    assert list(Path(django_settings.FILE_UPLOAD_TEMP_DIR).iterdir()) == []


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_no_x_ray_is_refused(
    alice_api: APIClient, model: ModelVersion, stored: Callable[[], list[str]], kind: str
) -> None:
    name, content, sentence = BAD[kind]
    answer = send(alice_api, SimpleUploadedFile(name, content()))
    assert answer.status_code == 400
    assert list(answer.json()) == ["detail"]
    assert sentence in answer.json()["detail"]
    assert_nothing_kept(stored)


def test_real_files_that_are_cut_off_or_no_x_rays_are_refused(
    alice_api: APIClient, model: ModelVersion, stored: Callable[[], list[str]], shared: Path
) -> None:
    names = ["CT_small.dcm", "MR_small.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm"]
    paths = [*(shared / "data/truncated").glob("*.jpg"), *(shared / "data/dicom" / name for name in names)]
    assert len(paths) >= 6
    for path in paths:
        answer = send(alice_api, SimpleUploadedFile(path.name, path.read_bytes()))
        assert (answer.status_code, list(answer.json())) == (400, ["detail"]), path
    assert_nothing_kept(stored)


def test_a_file_over_the_limit_is_413(
    alice_api: APIClient, model: ModelVersion, stored: Callable[[], list[str]], settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = MEGABYTE
    for size in (MEGABYTE + 1, 3 * MEGABYTE):
        answer = send(alice_api, SimpleUploadedFile("x.jpg", b"\xff\xd8\xff" + bytes(size)))
        assert answer.status_code == 413
        assert "1 MB" in answer.json()["detail"]
    assert_nothing_kept(stored)


def test_a_request_over_the_limit_is_turned_away_by_its_announced_length(
    alice_api: APIClient, model: ModelVersion
) -> None:
    announced = {"CONTENT_LENGTH": 300 * MEGABYTE}
    answer = alice_api.post(
        "/api/v1/radiographs/", b"", content_type="multipart/form-data; boundary=line", **announced
    )
    assert answer.status_code == 413
    assert "200 MB" in answer.json()["detail"]


def test_a_refused_file_is_never_seen_by_a_worker_and_the_next_one_is_welcome(
    alice_api: APIClient, model: ModelVersion
) -> None:
    assert send(alice_api, SimpleUploadedFile("x.jpg", b"text")).status_code == 400
    assert not Prediction.objects.exists()
    assert send(alice_api, xray()).status_code == 201


def test_patient_data_does_not_come_back_in_a_refusal(alice_api: APIClient, model: ModelVersion) -> None:
    for content in (dicom(Modality="SECRET NAME"), dicom()[:600], dicom(Rows=5)):
        answer = send(alice_api, SimpleUploadedFile("x.dcm", content))
        assert answer.status_code == 400
        assert "secret" not in answer.content.decode().lower()

"""Through the pages: what is served is pixels and nothing else, whatever the file was and whatever it was called."""

from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from classifier.radiographs.models import Radiograph
from tests.disguises import (
    DISGUISED,
    IMPOSTORS,
    NAMES,
    SECRET,
    is_nothing_but_pixels,
    shows_the_bone,
)

pytestmark = pytest.mark.usefixtures("model")
TYPES = {"image": "image/png", "thumbnail": "image/jpeg"}


@pytest.mark.parametrize("kind", DISGUISED)
def test_nothing_but_the_pixels_of_a_picture_is_kept_and_shown(
    as_alice: Client, files: Path, kind: str
) -> None:
    file = DISGUISED[kind]()
    assert SECRET.encode() in file
    page = as_alice.post("/", {"file": SimpleUploadedFile("x.png", file)})
    assert page.status_code == 200
    radiograph = Radiograph.objects.get()
    shown = as_alice.get(f"/radiographs/{radiograph.id}/")
    assert SECRET not in page.text + shown.text
    content = b"".join(as_alice.get(f"/radiographs/{radiograph.id}/image/").streaming_content)  # type: ignore[arg-type]
    assert is_nothing_but_pixels(content)
    assert kind.endswith("palette") or shows_the_bone(content)
    assert not any(SECRET.encode() in path.read_bytes() for path in files.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_what_is_no_picture_is_refused_and_not_repeated(as_alice: Client, kind: str) -> None:
    page = as_alice.post("/", {"file": SimpleUploadedFile("x.png", IMPOSTORS[kind](), "image/png")})
    assert page.status_code == 400
    assert SECRET not in page.text
    assert not Radiograph.objects.exists()


@pytest.mark.parametrize("name", NAMES)
def test_no_name_decides_what_a_picture_is_served_as(as_alice: Client, name: str) -> None:
    as_alice.post("/", {"file": SimpleUploadedFile(name, DISGUISED["jpeg with exif"](), "text/html")})
    radiograph = Radiograph.objects.get()
    for what, content_type in TYPES.items():
        served = as_alice.get(f"/radiographs/{radiograph.id}/{what}/")
        assert served.headers["Content-Type"] == content_type
        assert served.headers["X-Content-Type-Options"] == "nosniff"
        assert is_nothing_but_pixels(b"".join(served.streaming_content))  # type: ignore[arg-type]

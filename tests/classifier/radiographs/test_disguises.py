"""Through the API: what is served is pixels and nothing else, whatever the file was and whatever it was called."""

from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from classifier.radiographs.models import Radiograph
from tests.disguises import DISGUISED, IMPOSTORS, NAMES, SECRET, is_nothing_but_pixels, shows_the_bone
from tests.uploads import body_of, send

pytestmark = pytest.mark.usefixtures("model")


@pytest.mark.parametrize("kind", DISGUISED)
def test_nothing_but_the_pixels_of_a_picture_is_kept_and_served(
    alice_api: APIClient, files: Path, kind: str
) -> None:
    file = DISGUISED[kind]()
    assert SECRET.encode() in file
    answer = send(alice_api, SimpleUploadedFile("x.png", file))
    assert answer.status_code == 201, answer.content
    assert SECRET not in answer.text
    for what, content_type in (("image", "image/png"), ("thumbnail", "image/jpeg")):
        served = alice_api.get(f"/api/v1/radiographs/{answer.json()['id']}/{what}/")
        content = body_of(served)
        assert served["Content-Type"] == content_type
        assert served["X-Content-Type-Options"] == "nosniff"
        assert is_nothing_but_pixels(content)
        assert kind.endswith("palette") or what == "thumbnail" or shows_the_bone(content)
    kept = [path.read_bytes() for path in files.rglob("*") if path.is_file()]
    assert len(kept) == 2
    assert not any(SECRET.encode() in content for content in kept)


@pytest.mark.parametrize("kind", IMPOSTORS)
def test_what_is_no_picture_is_refused_and_not_repeated(
    alice_api: APIClient, stored: Callable[[], list[str]], kind: str
) -> None:
    answer = send(alice_api, SimpleUploadedFile("x.png", IMPOSTORS[kind](), "image/png"))
    assert answer.status_code == 400
    assert list(answer.json()) == ["detail"]
    assert SECRET not in answer.text
    assert (Radiograph.objects.count(), stored()) == (0, [])


@pytest.mark.parametrize("name", NAMES)
def test_no_name_decides_what_a_picture_is_served_as(alice_api: APIClient, name: str) -> None:
    sent = send(alice_api, SimpleUploadedFile(name, DISGUISED["jpeg with exif"](), "text/html")).json()
    image = alice_api.get(f"/api/v1/radiographs/{sent['id']}/image/")
    assert image["Content-Type"] == "image/png"
    assert image["Content-Disposition"].startswith("inline; filename")
    assert is_nothing_but_pixels(body_of(image))
    thumbnail = alice_api.get(f"/api/v1/radiographs/{sent['id']}/thumbnail/")
    assert thumbnail["Content-Type"] == "image/jpeg"
    body_of(thumbnail)

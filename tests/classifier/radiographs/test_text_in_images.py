"""The sender is warned when text seems to be drawn into an image, or the image is refused, as the admin chooses."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image
from rest_framework.test import APIClient

from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.ml.data.test_burned_in_text import drawn
from tests.uploads import send

WARNING = "Text found in the image"


def xray_with(text: str) -> SimpleUploadedFile:
    content = io.BytesIO()
    Image.fromarray(drawn(text)).save(content, "PNG")
    return SimpleUploadedFile("wrist.png", content.getvalue())


def test_the_api_says_whether_an_image_shows_text(alice_api: APIClient, model: ModelVersion) -> None:
    for text, expected in (("MEIER HANS", True), ("L", False)):
        answer = send(alice_api, xray_with(text))
        assert answer.status_code == 201
        assert answer.json()["shows_text"] is expected
        assert alice_api.get(answer["Location"]).json()["shows_text"] is expected


@pytest.mark.parametrize(("text", "is_warned"), [("MEIER HANS", True), ("R", False)])
def test_the_sender_is_warned_on_each_page_with_the_image(
    as_alice: Client, model: ModelVersion, text: str, is_warned: bool
) -> None:
    for accept in ("text/html", "application/json"):
        answer = as_alice.post("/", {"file": xray_with(text)}, headers={"Accept": accept})
        assert (WARNING in answer.text) is is_warned
    newest = Radiograph.objects.newest_first()[0]
    for address in ("/radiographs/", f"/radiographs/{newest.id}/"):
        assert (WARNING in as_alice.get(address).text) is is_warned


def test_a_setting_refuses_images_with_text(
    as_alice: Client, alice_api: APIClient, model: ModelVersion, settings: Any
) -> None:
    settings.REFUSE_TEXT_IN_IMAGES = True
    answer = send(alice_api, xray_with("MEIER HANS"))
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(
        "Text seems to be drawn into the image, which may identify the patient."
    )
    page = as_alice.post("/", {"file": xray_with("MEIER HANS")})
    assert page.status_code == 400
    assert "Text seems to be drawn into the image" in page.text
    assert not Radiograph.objects.exists()
    assert send(alice_api, xray_with("L")).status_code == 201

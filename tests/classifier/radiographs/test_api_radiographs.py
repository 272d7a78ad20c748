import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils.dateparse import parse_datetime
from PIL import Image
from rest_framework.test import APIClient

from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray
from tests.ml.drawings import draw_bone
from tests.uploads import body_of, send

RADIOGRAPHS = "/api/v1/radiographs/"
FIELDS = ["id", "name", "sha256", "width", "height", "shows_text", "created_at", "prediction"]
pytestmark = pytest.mark.usefixtures("model")


def test_an_upload_is_acknowledged_with_its_radiograph_and_a_queued_prediction(alice_api: APIClient) -> None:
    file = xray("wrist.png")
    answer = send(alice_api, file)
    assert answer.status_code == 201
    body = answer.json()
    assert list(body) == FIELDS
    assert list(body["prediction"]) == ["id", "state"]
    assert body["prediction"]["state"] == "queued"
    assert body["name"] == "wrist.png"
    file.seek(0)
    assert body["sha256"] == hashlib.sha256(file.read()).hexdigest()
    assert (body["height"], body["width"]) == draw_bone().shape
    assert parse_datetime(body["created_at"]) is not None
    assert answer["Location"] == f"{RADIOGRAPHS}{body['id']}/"
    assert alice_api.get(answer["Location"]).json() == body


def test_the_prediction_is_pinned_to_the_model_that_was_live(
    alice_api: APIClient, model: ModelVersion
) -> None:
    prediction_id = send(alice_api).json()["prediction"]["id"]
    assert Prediction.objects.get(id=prediction_id).model_version == model


def test_without_a_live_model_an_upload_is_turned_away_and_leaves_nothing(
    alice_api: APIClient, model: ModelVersion, stored: Callable[[], list[str]]
) -> None:
    model.promotions.all().delete()
    answer = send(alice_api)
    assert answer.status_code == 503
    assert answer.json() == {"detail": "No model is live yet. Try again in a minute."}
    assert (Radiograph.objects.count(), stored()) == (0, [])


def test_the_list_is_newest_first_with_fifty_rows_a_page(alice_api: APIClient, model: ModelVersion) -> None:
    make_rows(52, alice_api)
    first = alice_api.get(RADIOGRAPHS).json()
    assert list(first) == ["count", "next", "previous", "results"]
    assert first["count"] == 52
    assert [row["name"] for row in first["results"][:2]] == ["51.png", "50.png"]
    assert list(first["results"][0]) == FIELDS
    second = alice_api.get(first["next"]).json()
    assert [row["name"] for row in second["results"]] == ["1.png", "0.png"]
    assert second["next"] is None
    assert alice_api.get(second["previous"]).json()["results"] == first["results"]


@pytest.mark.parametrize("page", ["0", "-1", "3", "x", "9" * 40, "1e9"])
def test_a_page_that_is_not_there_is_404(alice_api: APIClient, page: str) -> None:
    answer = alice_api.get(RADIOGRAPHS, {"page": page})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "Invalid page."}


def test_a_longer_list_takes_no_more_queries(
    alice_api: APIClient, django_assert_max_num_queries: Any
) -> None:
    make_rows(60, alice_api)
    with django_assert_max_num_queries(4):  # token, count, page, the page's predictions
        assert len(alice_api.get(RADIOGRAPHS).json()["results"]) == 50


def test_the_list_is_filtered_by_name_class_and_state(alice_api: APIClient) -> None:
    make_rows(3, alice_api)
    Prediction.objects.filter(radiograph___file_name="1.png").update(
        state=Prediction.State.SUCCEEDED, class_name="Spiral Fracture"
    )

    def names(**wanted: str) -> list[str]:
        answer = alice_api.get(RADIOGRAPHS, wanted).json()
        assert answer["count"] == len(answer["results"])
        return [row["name"] for row in answer["results"]]

    assert names(name="1.P") == ["1.png"]
    assert names(state="queued") == ["2.png", "0.png"]
    assert names(**{"class": "Spiral Fracture"}) == ["1.png"]
    assert names(**{"class": "Spiral Fracture", "state": "queued"}) == []
    assert names(name="", state="") == ["2.png", "1.png", "0.png"]


@pytest.mark.parametrize("wanted", [{"state": "broken"}, {"name": "a\0b"}, {"class": "\0"}])
def test_an_invalid_filter_is_refused(alice_api: APIClient, wanted: dict[str, str]) -> None:
    answer = alice_api.get(RADIOGRAPHS, wanted)
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == list(wanted)


def test_the_image_is_the_decoded_picture_as_png_and_is_revalidated_each_time(
    alice_api: APIClient,
) -> None:
    sent = send(alice_api, xray("wrist.jpg.png", seed=3)).json()
    answer = alice_api.get(f"{RADIOGRAPHS}{sent['id']}/image/")
    assert answer["Content-Type"] == "image/png"
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(body_of(answer)))), draw_bone(seed=3))
    assert answer["Content-Disposition"] == 'inline; filename="wrist.jpg.png"'
    assert set(re.split(", ?", answer["Cache-Control"])) == {"private", "no-cache"}
    assert {"Authorization", "Cookie"} <= set(re.split(", ?", answer["Vary"]))
    again = alice_api.get(f"{RADIOGRAPHS}{sent['id']}/image/", headers={"If-None-Match": answer["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_the_thumbnail_is_a_small_jpeg(alice_api: APIClient) -> None:
    file = SimpleUploadedFile("wide.png", png(np.zeros((100, 1000), np.uint8)))
    sent = send(alice_api, file).json()
    answer = alice_api.get(f"{RADIOGRAPHS}{sent['id']}/thumbnail/")
    assert answer["Content-Type"] == "image/jpeg"
    assert Image.open(io.BytesIO(body_of(answer))).size == (320, 32)


@pytest.mark.parametrize("accept", ["image/png", "image/*", "text/html", "application/json", "*/*"])
def test_the_image_is_returned_for_any_accept_header(alice_api: APIClient, accept: str) -> None:
    sent = send(alice_api).json()
    answer = alice_api.get(f"{RADIOGRAPHS}{sent['id']}/image/", headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/png")
    assert body_of(answer)


def test_an_image_missing_in_the_storage_is_404_with_a_sentence(alice_api: APIClient, files: Path) -> None:
    sent = send(alice_api).json()
    next((files / "radiographs").rglob("*.png")).unlink()
    answer = alice_api.get(f"{RADIOGRAPHS}{sent['id']}/image/", headers={"Accept": "image/png"})
    assert answer.status_code == 404
    assert answer.json() == {"detail": "The file of this radiograph is missing."}


def test_a_deleted_radiograph_is_404_everywhere(alice_api: APIClient) -> None:
    kept, gone = send(alice_api).json(), send(alice_api).json()
    answer = alice_api.delete(f"{RADIOGRAPHS}{gone['id']}/")
    assert (answer.status_code, answer.content) == (204, b"")
    for path in (f"{RADIOGRAPHS}{gone['id']}/", f"/api/v1/predictions/{gone['prediction']['id']}/"):
        assert alice_api.get(path).status_code == 404
    assert alice_api.delete(f"{RADIOGRAPHS}{gone['id']}/").status_code == 404
    assert [row["id"] for row in alice_api.get(RADIOGRAPHS).json()["results"]] == [kept["id"]]


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd.png", "passwd.png"),
        ("C:\\X-rays\\wrist.png", "wrist.png"),
        ("wrist\x00\x07\t.png", "wrist.png"),
        ("gnp\u202e.wrist\u200b", "gnp.wrist"),
        ("  .  .hidden   file.png", "hidden file.png"),
        ("<img src=x onerror=alert(1)>.png", "<img src=x onerror=alert(1)>.png"),
        ("Röntgen 手首.png", "Röntgen 手首.png"),
        ("x" * 250 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_file_name_is_sanitized(alice_api: APIClient, name: str, kept: str) -> None:
    assert send_named(alice_api, name).json()["name"] == kept


def test_a_file_name_of_dots_and_spaces_is_replaced(alice_api: APIClient) -> None:
    assert send_named(alice_api, ". .").json()["name"] == "X-ray"


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def send_named(client: APIClient, name: str) -> Any:
    """Sends an upload whose file has exactly this name, which ordinary clients would not send."""
    file = xray()
    head = f'--line\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'.replace(
        "\\", "\\\\"
    )
    body = head.encode() + b"Content-Type: image/png\r\n\r\n" + file.read() + b"\r\n--line--\r\n"
    return client.post(RADIOGRAPHS, body, content_type="multipart/form-data; boundary=line")


def make_rows(number: int, client: APIClient) -> None:
    """Creates radiographs of the client's user with a queued prediction each, named in order of creation."""
    first = send(client, xray("0.png")).json()
    kept = Radiograph.objects.get(id=first["id"])
    version = ModelVersion.objects.get()
    for place in range(1, number):
        radiograph = Radiograph.objects.create(
            owner=kept.owner,
            _file_name=f"{place}.png",
            sha256=kept.sha256,
            width=kept.width,
            height=kept.height,
        )
        Prediction.objects.create(radiograph=radiograph, owner=kept.owner, model_version=version)

"""Every error of the API is JSON with a sentence, and never a traceback."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction
from classifier.registry.models import ModelVersion
from tests.conftest import PASSWORD, xray
from tests.uploads import send

RADIOGRAPHS = "/api/v1/radiographs/"
TOKENS = "/api/v1/tokens/"
ID = "0f1c2a52-63a3-4d0e-9c4e-0f6ab2f2a7f5"
MULTIPART = "multipart/form-data; boundary=line"


def assert_error(answer: Any, status: int) -> str:
    """Checks the form of an error, and returns its sentence."""
    assert answer.status_code == status, answer.content
    assert answer["Content-Type"] == "application/json"
    body = answer.json()
    assert set(body) <= {"detail", "fields"}
    sentence = body["detail"]
    assert isinstance(sentence, str)
    assert len(sentence) > 10
    assert "Traceback" not in sentence
    assert sentence[0].isupper() or ":" in sentence
    return sentence


@pytest.mark.parametrize("method", ["get", "post", "delete"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/",
        "/api/v1/",
        "/api/v1/nothing/",
        "/api/v2/radiographs/",
        f"{RADIOGRAPHS}not-a-uuid/",
        f"{RADIOGRAPHS}{ID}/nothing/",
        f"/api/v1/predictions/{ID[:-1]}/",
        f"{RADIOGRAPHS}..%2f..%2fetc/",
    ],
)
def test_an_address_that_does_not_exist(alice_api: APIClient, method: str, path: str) -> None:
    assert_error(getattr(alice_api, method)(path), 404)


@pytest.mark.parametrize("path", ["/api/v1/tokens", "/api/v1/radiographs", f"/api/v1/predictions/{ID}"])
def test_a_missing_slash_is_explained_and_not_redirected(alice_api: APIClient, path: str) -> None:
    for answer in (alice_api.get(path), alice_api.post(path)):
        assert "end with a slash" in assert_error(answer, 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("put", RADIOGRAPHS),
        ("delete", RADIOGRAPHS),
        ("post", f"{RADIOGRAPHS}{ID}/"),
        ("patch", f"{RADIOGRAPHS}{ID}/"),
        ("delete", f"{RADIOGRAPHS}{ID}/image/"),
        ("delete", f"/api/v1/predictions/{ID}/"),
        ("get", TOKENS),
        ("get", f"{TOKENS}current/"),
    ],
)
def test_a_method_that_is_not_allowed(alice_api: APIClient, method: str, path: str) -> None:
    answer = getattr(alice_api, method)(path)
    assert_error(answer, 405)
    assert method.upper() not in answer["Allow"]


def test_options_returns_a_name_and_a_description_only(alice_api: APIClient) -> None:
    answer = alice_api.options(RADIOGRAPHS)
    assert answer.json() == {"name": "Radiographs", "description": ""}
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (RADIOGRAPHS, "application/json"),
        (RADIOGRAPHS, "image/png"),
        (RADIOGRAPHS, "application/x-www-form-urlencoded"),
        (TOKENS, "text/plain"),
        (TOKENS, "application/xml"),
    ],
)
def test_a_body_of_another_media_type_is_refused(alice_api: APIClient, path: str, content_type: str) -> None:
    assert_error(alice_api.post(path, b"{}", content_type=content_type), 415)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[1, 2]",
        b'"text"',
        b"nul",
        b"\xff\xfe",
        b'{"username": NaN, "password": 1}',
        b"[" * 200_000,
        b'{"username": ' + b"[" * 200_000,
    ],
)
def test_malformed_json_is_refused(db: None, body: bytes) -> None:
    assert_error(APIClient().post(TOKENS, body, content_type="application/json"), 400)


def test_an_unknown_character_set_is_refused(db: None) -> None:
    answer = APIClient().post(TOKENS, b"{}", content_type="application/json; charset=klingon")
    assert_error(answer, 400)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded"])
def test_a_body_of_gigabytes_is_refused_before_it_is_read(db: None, content_type: str) -> None:
    answer = APIClient().post(TOKENS, b"{}", content_type=content_type, CONTENT_LENGTH=10 * 1024**3)
    assert_error(answer, 413)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", MULTIPART),
        (b"--line--\r\n", MULTIPART),
        (b"no boundary at all", MULTIPART),
        (b"--line\r\n", MULTIPART),
        (b"--line\r\n\r\n\r\n--line--", MULTIPART),
        (b"--line\r\nContent-Disposition: form-data; name=file\r\n\r\njust text\r\n--line--\r\n", MULTIPART),
        (b"--line\r\nContent-Disposition: form-data; filename=a.png\r\n\r\nx\r\n--line--\r\n", MULTIPART),
        (b"anything", "multipart/form-data"),
        (b"anything", "multipart/form-data; boundary="),
        (b"anything", "multipart/form-data; boundary=\xc3\xa4".encode().decode("latin-1")),
        (
            b"--line\r\nContent-Disposition: form-data; name=\"file\"; filename*=klingon''a.png\r\n\r\nx"
            b"\r\n--line--\r\n",
            MULTIPART,
        ),
        (
            b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\n!\r\n--line--\r\n",
            MULTIPART,
        ),
    ],
)
def test_a_malformed_form_is_refused(
    alice_api: APIClient, model: ModelVersion, body: bytes, content_type: str
) -> None:
    assert_error(alice_api.post(RADIOGRAPHS, body, content_type=content_type), 400)


def test_a_form_with_a_thousand_files_is_refused(alice_api: APIClient, model: ModelVersion) -> None:
    part = b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nx\r\n'
    assert_error(alice_api.post(RADIOGRAPHS, part * 1000 + b"--line--\r\n", content_type=MULTIPART), 400)


def test_the_field_at_fault_is_named(alice_api: APIClient, model: ModelVersion) -> None:
    answer = alice_api.post(RADIOGRAPHS, {"picture": xray()}, format="multipart")
    assert assert_error(answer, 400) == "file: No file was submitted."
    assert answer.json()["fields"] == {"file": ["No file was submitted."]}


def test_an_internal_error_is_a_sentence_without_details(alice_api: APIClient, model: ModelVersion) -> None:
    prediction_id = send(alice_api).json()["prediction"]["id"]
    Prediction.objects.update(probabilities=[{"secret": "of a row that nothing of ours writes"}])
    alice_api.raise_request_exception = False
    answer = alice_api.get(f"/api/v1/predictions/{prediction_id}/")
    assert "secret" not in assert_error(answer, 500)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="a pragma of SQLite makes the fault")
def test_a_database_that_cannot_be_written_is_503_and_no_file_is_kept(
    alice_api: APIClient, model: ModelVersion, stored: Callable[[], list[str]]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
        try:
            answer = send(alice_api)
        finally:
            cursor.execute("PRAGMA query_only = OFF")
    sentence = assert_error(answer, 503)
    assert sentence == "The database cannot be reached right now. Please try again in a minute."
    assert stored() == []


def test_a_signed_in_browser_needs_the_csrf_token_to_write(alice: User, model: ModelVersion) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    assert browser.login(username="alice", password=PASSWORD)
    assert browser.get(RADIOGRAPHS).status_code == 200
    assert "CSRF" in assert_error(send(browser), 403)

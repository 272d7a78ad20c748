"""Uploads as clients of all kinds send them: names in Latin-1, empty names, none, and several files at once."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.conftest import xray

BOUNDARY = "a-boundary"


def part(disposition: bytes, content: bytes) -> bytes:
    head = b"--" + BOUNDARY.encode() + b"\r\nContent-Disposition: form-data; " + disposition
    return head + b"\r\nContent-Type: application/octet-stream\r\n\r\n" + content + b"\r\n"


def send(client: Any, *parts: bytes, url: str = "/api/v1/radiographs/", **headers: str) -> Any:
    body = b"".join(parts) + b"--" + BOUNDARY.encode() + b"--\r\n"
    return client.generic(
        "POST", url, body, content_type=f"multipart/form-data; boundary={BOUNDARY}", headers=headers
    )


@pytest.fixture
def content() -> bytes:
    return xray().read()


@pytest.mark.parametrize(
    ("disposition", "kept"),
    [
        (b'name="file"; filename="wrist.png"', "wrist.png"),
        ('name="file"; filename="Röntgen.png"'.encode(), "Röntgen.png"),
        ('name="file"; filename="Röntgen.png"'.encode("latin-1"), "Röntgen.png"),
        (b"name=\"file\"; filename*=UTF-8''R%C3%B6ntgen.png", "Röntgen.png"),
        (b'name="file"; filename=""', "X-ray"),
        (b'name="file"; filename="/"', "X-ray"),
        (b'name="file"; filename=".."', "X-ray"),
        (b'name="file"', "X-ray"),
        (b'filename="wrist.png"; name="file"', "wrist.png"),
    ],
    ids=lambda value: value.decode("latin-1") if isinstance(value, bytes) else "",
)
def test_a_file_is_received_whatever_its_name(
    alice_api: APIClient, model: ModelVersion, content: bytes, disposition: bytes, kept: str
) -> None:
    answer = send(alice_api, part(disposition, content))
    assert answer.status_code == 201, answer.content
    assert answer.json()["name"] == kept


@pytest.mark.parametrize("size", [64 * 1024 - 200, 64 * 1024, 64 * 1024 + 100, 3 * 1024**2])
def test_a_large_file_is_received_unchanged(
    alice_api: APIClient, model: ModelVersion, content: bytes, size: int
) -> None:
    """A body is read in blocks; the names of the parts may be at the end of one."""
    padded = content + bytes(size - len(content))
    answer = send(alice_api, part(b'name="note"', b"x" * 7), part(b'name="file"', padded))
    assert answer.status_code == 201, answer.content
    sent_again = send(alice_api, part(b'name="file"; filename="a.png"', padded))
    assert answer.json()["sha256"] == sent_again.json()["sha256"]


def test_an_unchosen_file_is_told_so(as_alice: Client, alice_api: APIClient, model: ModelVersion) -> None:
    empty = part(b'name="file"; filename=""', b"")
    answer = send(alice_api, empty)
    assert (answer.status_code, answer.json()["detail"]) == (400, "file: No file was submitted.")
    page = send(as_alice, empty, url="/")
    assert page.status_code == 400
    assert "Choose at least one file." in page.text


@pytest.mark.parametrize("second", [b'name="file"; filename="b.png"', b'name="other"; filename="b.png"'])
def test_two_files_in_one_request_are_refused_and_neither_is_kept(
    as_alice: Client, alice_api: APIClient, model: ModelVersion, content: bytes, second: bytes
) -> None:
    parts = (part(b'name="file"; filename="a.png"', content), part(second, content))
    for client, url in ((alice_api, "/api/v1/radiographs/"), (as_alice, "/")):
        answer = send(client, *parts, url=url, accept="application/json")
        assert answer.status_code == 400
        assert answer.json()["detail"] == "Send each file in a request of its own. Nothing was stored."
    assert not Radiograph.objects.exists()


def test_the_page_without_scripts_takes_several_files(
    as_alice: Client, model: ModelVersion, content: bytes
) -> None:
    names = (b'name="file"; filename="a.png"', b'name="file"; filename="b.png"')
    answer = send(as_alice, *(part(name, content) for name in names), url="/", accept="text/html")
    assert answer.status_code == 200
    assert Radiograph.objects.count() == 2


@pytest.mark.parametrize(
    ("address", "parameter"),
    [
        ("radiographs/?stat=failed", "stat"),
        ("radiographs/?page=1&owner=2", "owner"),
        ("predictions/5b0a6f7e-4e57-4c8e-8a53-0a4ff1b0a1de/?expand=1", "expand"),
    ],
)
def test_an_unknown_query_parameter_of_the_api_is_400(
    alice_api: APIClient, address: str, parameter: str
) -> None:
    answer = alice_api.get(f"/api/v1/{address}")
    assert answer.status_code == 400
    assert answer.json() == {
        "detail": f"{parameter}: This query parameter is not known.",
        "fields": {parameter: ["This query parameter is not known."]},
    }


@pytest.mark.parametrize("query", ["state=done", "class=Broken", "finding=maybe"])
def test_an_unknown_value_of_a_filter_of_the_api_is_400(
    alice_api: APIClient, model: ModelVersion, query: str
) -> None:
    answer = alice_api.get(f"/api/v1/radiographs/?{query}")
    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [query.partition("=")[0]]


def test_known_values_of_filters_are_accepted(alice_api: APIClient, model: ModelVersion) -> None:
    name = ModelVersion.objects.class_names()[0]
    for query in ({"state": "failed"}, {"class": name}, {"finding": "doubtful"}, {"name": "x", "page": "1"}):
        assert alice_api.get("/api/v1/radiographs/", query).status_code == 200


@pytest.mark.parametrize(
    "query", ["state=done", "class_name=Broken", "finding=maybe", "order=name", f"name={'x' * 201}"]
)
def test_an_unknown_value_of_a_filter_on_the_history_is_400_and_not_everything(
    as_alice: Client, alice: User, model: ModelVersion, content: bytes, query: str
) -> None:
    send(as_alice, part(b'name="file"; filename="mine.png"', content), url="/")
    page = as_alice.get(f"/radiographs/?{query}")
    assert page.status_code == 400
    assert "mine.png" not in page.text


@pytest.mark.parametrize("address", ["/radiographs/?stat=failed", "/radiographs/trash/?owner=1"])
def test_an_unknown_query_parameter_of_a_page_is_400(as_alice: Client, address: str) -> None:
    page = as_alice.get(address)
    assert page.status_code == 400
    assert "unknown query parameter" in page.text

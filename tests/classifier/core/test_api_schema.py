"""The OpenAPI schema is valid and complete, and responses are valid under it."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from django.conf import settings as django_settings
from django.core.management import call_command
from django.urls import URLPattern, get_resolver
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from classifier.radiographs.jobs import run_next_prediction
from classifier.registry.models import ModelVersion
from portal import api_urls
from tests.uploads import body_of, send

UNDOCUMENTED = {"api_schema", "api_docs"}
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    answer = APIClient().get("/api/v1/schema/")
    assert answer.status_code == 200
    document = yaml.load(answer.content, Loader=yaml.CSafeLoader)
    assert isinstance(document, dict)
    return document


def operations(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", operation)
        for path, item in schema["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def test_the_schema_is_valid_and_without_a_warning() -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null")


def test_the_schema_is_available_as_json_and_without_a_token() -> None:
    answer = APIClient().get("/api/v1/schema/", {"format": "json"})
    assert answer.json()["openapi"].startswith("3.")


def test_every_address_of_the_api_is_in_the_schema(schema: dict[str, Any]) -> None:
    patterns = [pattern for pattern in api_urls.urlpatterns if isinstance(pattern, URLPattern)]
    assert len(patterns) == len(api_urls.urlpatterns)
    missing = [
        pattern.name
        for pattern in patterns
        if pattern.name not in UNDOCUMENTED
        and "/api/v1/" + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(pattern.pattern)) not in schema["paths"]
    ]
    assert missing == []


def test_every_operation_except_token_create_requires_a_token(schema: dict[str, Any]) -> None:
    assert schema["components"]["securitySchemes"] == {"Bearer": {"type": "http", "scheme": "bearer"}}
    for name, operation in operations(schema):
        if name == "POST /api/v1/tokens/":
            assert "security" not in operation or operation["security"] == [{}]
        else:
            assert operation["security"] == [{"Bearer": []}], name
            assert "401" in operation["responses"], name


def test_errors_have_one_form(schema: dict[str, Any]) -> None:
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            if status >= "400":
                content = response["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Error"}, (name, status)
                assert content["examples"], (name, status)


def test_bodies_of_json_have_no_other_fields(schema: dict[str, Any]) -> None:
    bodies = schema["components"]["schemas"]
    closed = {name for name, body in bodies.items() if body.get("additionalProperties") is False}
    assert {"NewReviewRequest", "BoxRequest", "CredentialsRequest"} <= closed
    assert "UploadRequest" not in closed


def test_an_image_is_binary(schema: dict[str, Any]) -> None:
    response = schema["paths"]["/api/v1/radiographs/{id}/image/"]["get"]["responses"]["200"]
    assert response["content"] == {"image/png": {"schema": {"type": "string", "format": "binary"}}}


def as_json_schema(part: Any) -> Any:
    """Translates OpenAPI 3.0 to JSON Schema, which has a type null instead of "nullable"."""
    if isinstance(part, list):
        return [as_json_schema(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    inner = {name: as_json_schema(value) for name, value in part.items() if name != "nullable"}
    return {"anyOf": [inner, {"type": "null"}]} if part.get("nullable") is True else inner


def validator(schema: dict[str, Any], content: dict[str, Any]) -> Draft202012Validator:
    whole = {**as_json_schema(content["schema"]), "components": as_json_schema(schema["components"])}
    return Draft202012Validator(whole)


def test_the_examples_are_valid_under_the_schema(schema: dict[str, Any]) -> None:
    number = 0
    for name, operation in operations(schema):
        for status, response in operation["responses"].items():
            for content in response.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    errors = list(validator(schema, content).iter_errors(example["value"]))
                    assert errors == [], (name, status)
                    number += 1
    assert number > 20


def test_responses_are_valid_under_the_schema(
    schema: dict[str, Any], alice_api: APIClient, live_model: ModelVersion
) -> None:
    def check(path: str, template: str) -> None:
        content = schema["paths"][template]["get"]["responses"]["200"]["content"]["application/json"]
        assert list(validator(schema, content).iter_errors(alice_api.get(path).json())) == []

    sent = send(alice_api).json()
    prediction = f"/api/v1/predictions/{sent['prediction']['id']}/"
    check("/api/v1/radiographs/", "/api/v1/radiographs/")
    check(f"/api/v1/radiographs/{sent['id']}/", "/api/v1/radiographs/{id}/")
    check(prediction, "/api/v1/predictions/{id}/")
    run_next_prediction()
    check(prediction, "/api/v1/predictions/{id}/")


class Inline(HTMLParser):
    """Collects what a strict Content-Security-Policy blocks, and the addresses that the page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "style" or "style" in given or any(name.startswith("on") for name in given):
            self.found.append(tag)
        if tag == "script" and not given.get("src"):
            self.found.append(tag)
        if tag in ("script", "link"):
            self.loaded.append(given.get("src") or given.get("href") or "")


def test_the_docs_page_has_nothing_inline_and_nothing_from_other_hosts(db: None) -> None:
    answer = APIClient().get("/api/v1/docs/")
    page = Inline()
    page.feed(answer.content.decode())
    assert page.found == []
    assert len(page.loaded) == 4
    for address in page.loaded:
        assert address.startswith(("/static/", "/api/v1/docs/"))
        part = APIClient().get(address)
        assert part.status_code == 200, address
        assert body_of(part)
    policy = answer["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "blob:" not in APIClient().get("/api/v1/schema/")["Content-Security-Policy"]
    assert django_settings.CONTENT_SECURITY_POLICY["DIRECTIVES"]["default-src"] == ["'self'"]


def test_every_address_has_a_unique_name() -> None:
    names = [pattern.name for pattern in api_urls.urlpatterns]
    assert len(set(names)) == len(names)
    assert all(name and name.startswith("api_") for name in names)
    assert get_resolver().resolve("/api/v1/radiographs/").url_name == "api_radiographs"

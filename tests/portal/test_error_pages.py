from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from portal.urls import handler400, handler500
from portal.urls import urlpatterns as portals

pytestmark = pytest.mark.django_db


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret of the server")


def forbidden(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


class Urls:
    handler400, handler500 = handler400, handler500
    urlpatterns = [path("broken", broken), path("forbidden", forbidden), *portals]


@pytest.fixture
def visitor() -> Client:
    return Client(raise_request_exception=False, enforce_csrf_checks=True)


@pytest.mark.parametrize(
    ("address", "status", "sentence"),
    [
        ("/nothing-here", 404, "This page does not exist, was deleted, or is not visible to you."),
        ("/forbidden", 403, "You do not have permission to do this."),
        ("/broken", 500, "The server ran into an error and logged it."),
    ],
)
@override_settings(ROOT_URLCONF=Urls)
def test_an_error_is_a_page_like_the_others(
    visitor: Client, address: str, status: int, sentence: str
) -> None:
    page = visitor.get(address)
    assert page.status_code == status
    assert sentence in page.text
    assert "callus.css" in page.text
    assert "a secret of the server" not in page.text


@override_settings(ROOT_URLCONF=Urls)
def test_a_script_gets_the_sentence(visitor: Client) -> None:
    answer: Any = visitor.get("/broken", headers={"Accept": "application/json"})
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith("Something went wrong on our side.")


def test_a_form_without_its_token_is_refused_in_words(visitor: Client) -> None:
    page = visitor.post("/accounts/login/", {"login": "alice", "password": "x"})
    assert page.status_code == 403
    assert "This form has expired" in page.text

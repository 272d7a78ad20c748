from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Prediction, Radiograph
from classifier.registry.models import ModelVersion
from tests.uploads import send

OURS = [model for model in admin.site._registry if model.__module__.startswith("classifier.")]
READ_ONLY = [Radiograph, Prediction, ModelVersion]


@pytest.fixture
def as_admin(db: None) -> Client:
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    return client


@pytest.fixture
def sent(alice_api: APIClient, model: ModelVersion) -> dict[str, Any]:
    return dict(send(alice_api).json())


def address(model: Any, action: str = "changelist", *arguments: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{action}", args=arguments)


def test_the_admin_registers_every_model_that_it_should() -> None:
    names = {model.__name__ for model in OURS}
    assert {"User", "Radiograph", "Prediction", "ModelVersion", "Promotion"} <= names


@pytest.mark.parametrize("model_class", OURS, ids=lambda model: model.__name__)
def test_each_list_opens_and_can_be_searched(
    as_admin: Client, sent: dict[str, Any], model_class: Any
) -> None:
    for query in ({}, {"q": "alice"}, {"q": "7"}):
        answer = as_admin.get(address(model_class), query)
        assert answer.status_code == 200
        assert answer.context["cl"].formset is None


@pytest.mark.parametrize("model_class", OURS, ids=lambda model: model.__name__)
def test_each_object_opens(as_admin: Client, sent: dict[str, Any], model_class: Any) -> None:
    for thing in model_class._default_manager.all()[:1]:
        assert as_admin.get(address(model_class, "change", thing.pk)).status_code == 200


@pytest.mark.parametrize("model_class", [Radiograph, Prediction], ids=lambda model: model.__name__)
def test_a_longer_list_takes_no_more_queries(
    as_admin: Client, alice_api: APIClient, sent: dict[str, Any], model_class: Any
) -> None:
    def num_queries() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert as_admin.get(address(model_class)).status_code == 200
        return len(queries)

    num_queries()  # content types are looked up once
    few = num_queries()
    for _ in range(5):
        send(alice_api)
    assert num_queries() == few


@pytest.mark.parametrize("model_class", READ_ONLY, ids=lambda model: model.__name__)
def test_read_only_rows_cannot_be_added_or_changed(
    as_admin: Client, sent: dict[str, Any], model_class: Any
) -> None:
    row = model_class._default_manager.values().get()
    assert as_admin.get(address(model_class, "add")).status_code == 403
    assert as_admin.post(address(model_class, "change", row["id"]), {"name": "x"}).status_code == 403
    assert model_class._default_manager.values().get() == row


@pytest.mark.parametrize("model_class", [Prediction, ModelVersion, User], ids=lambda model: model.__name__)
def test_rows_that_others_refer_to_cannot_be_deleted(
    as_admin: Client, sent: dict[str, Any], model_class: Any
) -> None:
    number = model_class._default_manager.count()
    thing = model_class._default_manager.first()
    assert as_admin.post(address(model_class, "delete", thing.pk), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [thing.pk], "post": "yes"}
    as_admin.post(address(model_class), chosen)
    assert model_class._default_manager.count() == number


@pytest.mark.parametrize("several", [False, True])
def test_deleting_a_radiograph_removes_its_files_too(
    as_admin: Client,
    sent: dict[str, Any],
    stored: Callable[[], list[str]],
    django_capture_on_commit_callbacks: Any,
    several: bool,
) -> None:
    assert len(stored()) == 2
    with django_capture_on_commit_callbacks(execute=True):
        if several:
            chosen = {"action": "delete_selected", "_selected_action": [sent["id"]], "post": "yes"}
            as_admin.post(address(Radiograph), chosen)
        else:
            as_admin.post(address(Radiograph, "delete", sent["id"]), {"post": "yes"})
    assert (Radiograph.objects.count(), Prediction.objects.count(), stored()) == (0, 0, [])


def test_an_ordinary_user_cannot_enter_the_admin(alice: User, client: Client) -> None:
    client.force_login(alice)
    assert client.get(address(Radiograph)).status_code == 302


def test_the_administration_has_the_portals_name_and_icon(as_admin: Client) -> None:
    for path in ("/admin/", address(Radiograph)):
        page = as_admin.get(path).text
        assert "| Callus</title>" in page
        assert 'href="/static/favicon.svg"' in page
        assert "Django" not in page
    assert as_admin.get("/favicon.ico")["Location"] == "/static/favicon.svg"

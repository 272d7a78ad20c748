from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from tests.uploads import send

pytestmark = pytest.mark.usefixtures("model")


def test_more_than_a_day_allows_is_refused_with_a_sentence_and_nothing_is_kept(
    alice_api: APIClient, bob_api: APIClient, settings: Any, stored: Any
) -> None:
    settings.UPLOADS_PER_DAY = 2
    assert [send(alice_api).status_code for _ in range(3)] == [201, 201, 429]
    assert "You have reached the limit of 2 uploads in 24 hours" in send(alice_api).json()["detail"]
    assert len(stored()) == 4
    assert send(bob_api).status_code == 201
    Radiograph.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert send(alice_api).status_code == 201


def test_who_keeps_too_many_must_delete_some_for_good(
    alice_api: APIClient, settings: Any, model: ModelVersion
) -> None:
    settings.RADIOGRAPHS_PER_USER = 1
    sent = send(alice_api).json()
    refused = send(alice_api)
    assert refused.status_code == 413
    assert "You have reached the limit of 1 stored X-rays" in refused.json()["detail"]
    alice_api.delete(f"/api/v1/radiographs/{sent['id']}/")
    assert send(alice_api).status_code == 413, "the trash counts"


def test_a_limit_of_nought_is_none_and_nothing_is_counted(alice_api: APIClient, settings: Any) -> None:
    def num_counts() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert send(alice_api).status_code == 201
        return sum("COUNT(" in query["sql"] for query in queries)

    assert num_counts() == 4, "before the file is read, and before its row is written"
    settings.UPLOADS_PER_DAY = settings.RADIOGRAPHS_PER_USER = 0
    assert num_counts() == 0

"""Two requests at the same moment: limits hold, nothing is lost, and each request gets a true answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from classifier.core.errors import NotAllowedNow
from classifier.core.models import User
from classifier.core.permissions import REVIEW
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import (
    AccountDeleted,
    delete_radiographs,
    predict_again,
    receive_radiograph,
    restore_radiograph,
    trash_radiograph,
)
from classifier.registry.models import ModelVersion, Promotion
from classifier.reviews.services import record_review
from portal.accounts.services import delete_account
from tests.conftest import xray
from tests.people import api_client
from tests.retraining import answered, ready_dataset, trained_version
from tests.retraining_rows import user_who_may
from tests.uploads import finish, send

NUM_THREADS = 12


@pytest.mark.django_db(transaction=True)
def test_uploads_at_the_same_moment_do_not_exceed_the_limit(
    alice: User, model: ModelVersion, settings: Any, stored: Any
) -> None:
    settings.UPLOADS_PER_DAY = 4
    clients = [api_client(alice) for _ in range(NUM_THREADS)]
    together = Barrier(NUM_THREADS)

    def upload(number: int) -> int:
        try:
            together.wait()
            return int(send(clients[number], xray(f"{number}.png")).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        statuses = Counter(threads.map(upload, range(NUM_THREADS)))
    assert statuses == {201: 4, 429: NUM_THREADS - 4}
    assert Radiograph.objects.count() == 4
    assert len(stored()) == 8


@pytest.mark.django_db(transaction=True)
def test_uploads_while_the_account_is_deleted_leave_no_file(model: ModelVersion, stored: Any) -> None:
    for number in range(5):
        user = User.objects.create_user(f"user{number}")
        clients = [api_client(user) for _ in range(3)]
        together = Barrier(len(clients) + 1)

        def upload(client: Any, together: Barrier = together) -> int:
            try:
                together.wait()
                return int(send(client).status_code)
            finally:
                connection.close()

        with ThreadPoolExecutor(len(clients)) as threads:
            statuses = threads.map(upload, clients)
            together.wait()
            delete_account(user=user)
        assert set(statuses) <= {201, 401}
        assert (Radiograph.objects.count(), stored()) == (0, [])


def test_an_upload_while_the_account_is_deleted_is_refused_and_leaves_no_file(
    alice: User, model: ModelVersion, stored: Any
) -> None:
    signed_in_before = User.objects.get(id=alice.id)
    delete_account(user=alice)
    with pytest.raises(AccountDeleted, match="account has been deleted"):
        receive_radiograph(owner=signed_in_before, upload=xray())
    assert stored() == []


def test_what_its_owner_restores_at_the_last_moment_is_not_purged(
    radiograph: Radiograph, stored: Any, django_capture_on_commit_callbacks: Any
) -> None:
    trash_radiograph(radiograph=radiograph)
    expired = Radiograph.objects.filter(deleted_at__lte=timezone.now() + timedelta(days=1))
    due = list(expired)
    restore_radiograph(radiograph=radiograph)
    with django_capture_on_commit_callbacks(execute=True):
        assert delete_radiographs(due, among=expired) == 0
    assert Radiograph.objects.get() == radiograph
    assert len(stored()) == 2


def test_what_was_purged_at_the_last_moment_is_not_called_restored(radiograph: Radiograph) -> None:
    trash_radiograph(radiograph=radiograph)
    seen = Radiograph.objects.get()
    delete_radiographs([seen])
    with pytest.raises(NotAllowedNow, match="deleted permanently"):
        restore_radiograph(radiograph=seen)


@pytest.mark.parametrize(
    "remove", [lambda one: delete_radiographs([one]), lambda one: trash_radiograph(radiograph=one)]
)
def test_a_review_of_an_x_ray_that_its_owner_removes_meanwhile_is_refused(
    radiograph: Radiograph, remove: Any
) -> None:
    prediction = finish(radiograph)
    rita = user_who_may("rita", REVIEW)
    remove(radiograph)
    with pytest.raises(NotAllowedNow, match="has been deleted"):
        record_review(reviewer=rita, prediction=prediction, finding="no_fracture")


def test_an_upload_page_that_sends_too_fast_gets_429_and_when_to_try_again(
    as_alice: Client, model: ModelVersion, settings: Any
) -> None:
    settings.API_WRITES_PER_MINUTE = 2
    statuses = []
    for _ in range(3):
        answer = as_alice.post("/", {"file": xray()}, headers={"Accept": "application/json"})
        statuses.append(answer.status_code)
    assert statuses == [201, 201, 429]
    assert 0 < int(answer["Retry-After"]) <= 60
    page = as_alice.post("/", {"file": xray()})
    assert (page.status_code, "Wait a minute" in page.text) == (429, True)
    assert 0 < int(page["Retry-After"]) <= 60


def test_the_daily_limit_says_when_the_oldest_upload_no_longer_counts(
    as_alice: Client, alice: User, model: ModelVersion, settings: Any
) -> None:
    settings.UPLOADS_PER_DAY = 2
    for _ in range(2):
        receive_radiograph(owner=alice, upload=xray())
    oldest = Radiograph.objects.newest_first().last()
    Radiograph.objects.filter(id=oldest.id).update(created_at=timezone.now() - timedelta(hours=23))  # type: ignore[union-attr]
    for answer in (send(api_client(alice)), as_alice.post("/", {"file": xray()})):
        assert answer.status_code == 429
        assert 3500 < int(answer["Retry-After"]) <= 3600


@pytest.mark.django_db(transaction=True)
def test_x_rays_that_are_asked_again_twice_at_the_same_moment_are_asked_once(
    alice: User, model: ModelVersion
) -> None:
    radiographs = [answered(alice, model).radiograph for _ in range(3)]
    Promotion.objects.create(model_version=trained_version(ready_dataset()))
    together = Barrier(NUM_THREADS)

    def ask_again(number: int) -> str:
        try:
            together.wait()
            return str(predict_again(user=alice, radiographs=radiographs[:: (-1) ** number]).num_known)
        except NotAllowedNow as refused:
            return str(refused)[:14]
        finally:
            connection.close()

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        outcomes = Counter(threads.map(ask_again, range(NUM_THREADS)))
    assert outcomes == {"0": 1, "The live model": NUM_THREADS - 1}


def test_an_x_ray_that_is_deleted_at_the_last_moment_is_not_asked_again(
    alice: User, model: ModelVersion
) -> None:
    radiographs = [answered(alice, model).radiograph for _ in range(2)]
    Promotion.objects.create(model_version=trained_version(ready_dataset()))
    seen = list(Radiograph.objects.all())
    delete_radiographs(radiographs[:1])

    batch = predict_again(user=alice, radiographs=seen)

    assert [one.radiograph for one in batch.predictions.all()] == radiographs[1:]
    with pytest.raises(NotAllowedNow, match="have been deleted"):
        predict_again(user=alice, radiographs=[one for one in seen if one != radiographs[1]])

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from rest_framework.test import APIClient

from classifier.core.models import User, WriteCount
from tests.people import api_client


def test_a_user_over_the_limit_gets_429_and_others_do_not(alice: User, bob: User, settings: Any) -> None:
    settings.API_WRITES_PER_MINUTE = 3
    alice_api, bob_api = api_client(alice), api_client(bob)

    def send(client: APIClient) -> Any:
        return client.post("/api/v1/radiographs/", {}, format="multipart")

    assert [send(alice_api).status_code for _ in range(4)] == [400, 400, 400, 429]
    refused = send(alice_api)
    assert "throttled" in refused.json()["detail"]
    assert 0 < int(refused["Retry-After"]) <= 60
    assert alice_api.get("/api/v1/radiographs/").status_code == 200
    assert send(bob_api).status_code == 400


def test_writes_at_the_same_moment_are_each_counted(transactional_db: None) -> None:
    def write(number: int) -> int:
        try:
            return WriteCount.objects.add_one("user-7", seconds=60)[0]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as writers:
        assert sorted(writers.map(write, range(40))) == list(range(1, 41))


@pytest.mark.django_db
def test_a_count_starts_again_after_its_minute() -> None:
    assert [WriteCount.objects.add_one("user-7", seconds=60)[0] for _ in range(2)] == [1, 2]
    WriteCount.objects.update(since=time.time() - 61)
    number, seconds_left = WriteCount.objects.add_one("user-7", seconds=60)
    assert number == 1
    assert 59 < seconds_left <= 60


def test_reads_have_their_own_limit(alice: User, settings: Any) -> None:
    settings.API_READS_PER_MINUTE = 2
    client = api_client(alice)
    assert [client.get("/api/v1/radiographs/").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.django_db
def test_anonymous_clients_are_counted_by_the_address_that_the_trusted_proxy_reports(
    settings: Any, client: Client
) -> None:
    settings.API_WRITES_PER_MINUTE = 1
    settings.REST_FRAMEWORK = {**settings.REST_FRAMEWORK, "NUM_PROXIES": 1}

    def send(forwarded_for: str) -> int:
        headers = {"X-Forwarded-For": forwarded_for}
        return client.post("/api/v1/tokens/", {}, "application/json", headers=headers).status_code

    assert send("192.0.2.1") == 400
    assert send("6.6.6.6, 192.0.2.1") == 429, "what the client itself wrote into the header does not count"
    assert send("192.0.2.2") == 400

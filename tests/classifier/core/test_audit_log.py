"""The audit log: who looked at whose X-rays, the filters of its page, and its CSV file."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from classifier.core.models import AuditEntry, Site, User
from classifier.radiographs.models import Radiograph
from tests.people import api_client, signed_in
from tests.retraining_rows import user_who_may


@pytest.fixture
def rita(db: None) -> User:
    return user_who_may("rita", "radiographs.review_radiograph")


@pytest.fixture
def as_vera(db: None) -> Client:
    return signed_in(user_who_may("vera", "registry.view_model"))


def look(client: Client, address: str) -> None:
    answer: Any = client.get(address)
    assert b"".join(answer.streaming_content).startswith(b"\x89PNG")


def test_it_knows_who_looked_at_whose_x_ray_once_a_day(
    rita: User, as_alice: Client, alice_api: APIClient, radiograph: Radiograph
) -> None:
    page, api = (f"{start}/radiographs/{radiograph.id}/image/" for start in ("", "/api/v1"))
    look(as_alice, page)
    look(alice_api, api)
    assert not AuditEntry.objects.about(radiograph).exists(), "it is her own"
    look(signed_in(rita), page)
    look(api_client(rita), api)
    entry = AuditEntry.objects.about(radiograph).get()
    assert (entry.actor_name, entry.action, entry.detail) == ("rita", "viewed", {"owner": "alice"})
    AuditEntry.objects.update(created_at=datetime(2026, 1, 2, tzinfo=UTC))
    look(signed_in(rita), page)
    assert AuditEntry.objects.about(radiograph).count() == 2


@pytest.fixture
def entries(alice: User, bob: User) -> None:
    site = Site.objects.create(name="=cmd()")
    for actor, action, day in ((alice, "roles changed", 2), (bob, "reviewed", 3), (bob, "roles changed", 4)):
        entry = AuditEntry.objects.record(actor=actor, action=action, about=site, before="+1, 2")
        AuditEntry.objects.filter(pk=entry.pk).update(created_at=datetime(2026, 1, day, 23, 59, tzinfo=UTC))


def rows(client: Client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/audit-log/csv/{query}")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("", [4, 3, 2]),
        ("?person=Bob", [4, 3]),
        ("?action=roles", [4, 2]),
        ("?person=bob&action=roles", [4]),
        ("?since=2026-01-03", [4, 3]),
        ("?until=2026-01-03", [3, 2]),
        ("?since=2026-01-03&until=2026-01-03", [3]),
        ("?person=nobody", []),
    ],
)
def test_the_file_has_what_the_page_shows(
    as_vera: Client, entries: None, query: str, days: list[int]
) -> None:
    page = as_vera.get(f"/audit-log/{query}").text
    assert [day for day in (4, 3, 2) if f"{day} Jan 2026, 23:59" in page] == days
    assert [int(row["time"][8:10]) for row in rows(as_vera, query)] == days


def test_no_cell_is_taken_for_a_formula(as_vera: Client, entries: None) -> None:
    row = rows(as_vera)[0]
    assert (row["person"], row["name"]) == ("bob", "'=cmd()")
    assert row["detail"] == '{"before": "+1, 2"}'


@pytest.mark.parametrize(
    "query", ["?since=yesterday", "?since=2026-01-03&until=2026-01-02", "?person=a%00", "?who=bob"]
)
def test_a_filter_that_makes_no_sense_is_refused(as_vera: Client, entries: None, query: str) -> None:
    assert as_vera.get(f"/audit-log/{query}").status_code == 400
    assert as_vera.get(f"/audit-log/csv/{query}").status_code == 400


def test_the_way_to_older_entries_keeps_the_filter(as_vera: Client, alice: User, entries: None) -> None:
    site = Site.objects.get()
    for _ in range(60):
        AuditEntry.objects.record(actor=alice, action="reviewed", about=site)
    page = as_vera.get("/audit-log/?person=alice").text
    assert 'rel="next" href="?person=alice&amp;before=' in page

from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from classifier.core.models import User
from portal.operations import health
from portal.operations.models import QUEUES, Canary, stale_after

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forget_earlier_checks() -> None:
    health._results.clear()


def every_queue_is_worked_on() -> None:
    now = timezone.now()
    Canary.objects.bulk_create([Canary(queue=queue, sent_at=now, done_at=now) for queue in QUEUES])


def parts(client: Client, query: str = "") -> dict[str, str]:
    return dict(client.get(f"/readyz{query}").json()["parts"])


def test_it_is_ready_when_every_part_works(client: Client) -> None:
    every_queue_is_worked_on()
    answer = client.get("/readyz")
    assert answer.status_code == 200
    names = ["database", "storage", "broker", "queue predict", "queue sweep", "queue train"]
    assert answer.json() == {"ready": True, "parts": dict.fromkeys(names, "ok")}


def test_a_queue_that_no_test_task_came_through_lately_is_not_ready(client: Client) -> None:
    every_queue_is_worked_on()
    long_ago = timezone.now() - stale_after() - timedelta(seconds=1)
    Canary.objects.filter(queue="predict").update(done_at=long_ago)
    assert client.get("/readyz").status_code == 503
    assert [name for name, state in parts(client).items() if state == "failing"] == ["queue predict"]


def test_a_training_that_takes_hours_does_not_make_its_queue_look_dead(client: Client) -> None:
    every_queue_is_worked_on()
    hours_ago, now = timezone.now() - timedelta(hours=3), timezone.now()
    Canary.objects.filter(queue="train").update(sent_at=hours_ago, done_at=None, busy_at=now)
    assert client.get("/readyz").status_code == 200
    assert "train" not in Canary.objects.to_send(now).values_list("queue", flat=True), "it would fill up"


def test_a_test_task_that_was_lost_is_followed_by_another(client: Client) -> None:
    every_queue_is_worked_on()
    long_ago = timezone.now() - stale_after() - timedelta(seconds=1)
    Canary.objects.filter(queue="train").update(sent_at=long_ago, done_at=None, busy_at=None)
    assert "train" in Canary.objects.to_send(timezone.now()).values_list("queue", flat=True)


def test_a_storage_that_cannot_be_written_is_not_ready_and_strangers_learn_no_more(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    blocked = tmp_path / "files"
    blocked.write_text("not a folder")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": blocked},
        },
    }
    answer = client.get("/readyz?part=database&part=storage")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"database": "ok", "storage": "failing"}
    assert str(tmp_path) not in answer.content.decode()
    assert str(tmp_path) in health.check("storage").problem


def test_looking_leaves_no_file_behind(client: Client, settings: Settings) -> None:
    assert parts(client, "?part=storage") == {"storage": "ok"}
    assert [path for path in Path(settings.FILES_DIR).rglob("probes/*") if path.is_file()] == []


def test_an_unknown_part_is_not_found(client: Client) -> None:
    assert client.get("/readyz?part=coffee").status_code == 404


def test_metrics_are_read_with_the_token_alone(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = "a-token-for-prometheus"
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer wrong"}).status_code == 404
    answer = client.get("/metrics", headers={"Authorization": "Bearer a-token-for-prometheus"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_without_a_token_metrics_are_for_this_machine_alone(client: Client, settings: Settings) -> None:
    settings.METRICS_TOKEN = ""
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="192.0.2.7").status_code == 404
    settings.PUBLIC_URL = "https://callus.example.org"
    assert client.get("/metrics").status_code == 404, "behind a proxy everybody seems to be on this machine"


def test_the_status_page_is_for_admins_alone(client: Client) -> None:
    every_queue_is_worked_on()
    assert client.get("/status/").status_code == 302
    client.force_login(User.objects.create_user("alice"))
    assert client.get("/status/").status_code == 404
    client.force_login(User.objects.create_superuser("root"))
    page = client.get("/status/").content.decode()
    assert "Queue predict" in page
    assert "fails" not in page
    Canary.objects.update(done_at=timezone.now() - timedelta(hours=2))
    health._results.clear()
    assert "No test task has arrived since" in client.get("/status/").content.decode()

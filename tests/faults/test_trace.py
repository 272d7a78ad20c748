"""One id from the request through the task to the result, in the logs of a real portal on its embedded broker."""

import re
from pathlib import Path

import pytest
import urllib3

from tests.client import Client, png
from tests.faults.test_deaf_worker import is_ready
from tests.ml.drawings import draw_bone
from tests.servers import Portal, running_portal, wait_until


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with running_portal(tmp_path_factory.mktemp("trace") / "var", {"CALLUS_CANARY_SECONDS": "2"}) as portal:
        portal.add_users("alice")
        yield portal


def test_the_answer_is_logged_with_the_id_of_the_upload_and_without_the_file_name(portal: Portal) -> None:
    alice = Client(portal.url, "alice")
    sent = urllib3.request(
        "POST",
        f"{portal.url}/api/v1/radiographs/",
        headers={**alice.headers, "X-Request-ID": "0123456789-upload"},
        fields={"file": ("mrs-miller-left-wrist.png", png(draw_bone(seed=1)))},
        timeout=30,
    )
    assert (sent.status, sent.headers["X-Request-ID"]) == (201, "0123456789-upload")
    prediction_id = sent.json()["prediction"]["id"]
    alice.wait_for_answer(prediction_id)
    lines = [line for line in portal.console().splitlines() if "trace=0123456789-upload" in line]
    assert any("message=request" in line and "route=api/v1/radiographs/" in line for line in lines)
    assert any("message=answered" in line and f"prediction={prediction_id}" in line for line in lines)
    assert "miller" not in portal.console()
    assert alice.headers["Authorization"].split()[1] not in portal.console()


def test_on_the_embedded_broker_queues_show_life_and_workers_hear_themselves(portal: Portal) -> None:
    wait_until(lambda: is_ready(portal), what="test tasks to come through every queue")
    messages = portal.data_dir / "broker" / "messages"
    seen: set[Path] = set()

    def five_echoes() -> bool:
        seen.update(messages.glob("*.echo.*"))
        return "The worker no longer receives tasks" in portal.console() or len(seen) >= 5

    wait_until(five_echoes, what="workers to send tasks to themselves")
    wait_until(lambda: not any(path.exists() for path in seen), what="workers to hear them")
    assert "The worker no longer receives tasks" not in portal.console()


def test_what_is_only_read_leaves_no_line(portal: Portal) -> None:
    urllib3.request("GET", f"{portal.url}/first-admin/a-secret-token/", timeout=30)
    assert not re.search("a-secret-token", portal.console())

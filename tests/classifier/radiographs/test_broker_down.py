"""A broker that is down delays answers; it neither blocks nor fails an upload."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import Portal

UPLOAD = """
import json, time
from django.core.management import call_command
call_command("prepare")
from classifier.core.models import User
from classifier.radiographs.models import Prediction
from tests.uploads import send
from tests.people import api_client
client = api_client(User.objects.create_user("alice"))
client.defaults["SERVER_NAME"] = "localhost"
begin = time.monotonic()
status = send(client).status_code
print(json.dumps([status, time.monotonic() - begin, list(Prediction.objects.values_list("state", flat=True))]))
"""


@contextmanager
def nothing_listens() -> Iterator[int]:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        yield int(reserved.getsockname()[1])


@contextmanager
def nothing_answers() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.mark.parametrize("broker", [nothing_listens, nothing_answers])
def test_an_upload_is_acknowledged_in_seconds_and_its_row_waits(tmp_path: Path, broker: object) -> None:
    with broker() as port:  # type: ignore[operator]
        portal = Portal(tmp_path / "var", {"REDIS_URL": f"redis://127.0.0.1:{port}/0"})
        printed = portal.manage("shell", "--no-imports", "-c", UPLOAD).splitlines()[-1]
    status, seconds, states = json.loads(printed)
    assert (status, states) == (201, ["queued"])
    assert seconds < 15, "Celery's own defaults block for 19 seconds"

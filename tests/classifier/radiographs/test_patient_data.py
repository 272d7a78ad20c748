"""What a DICOM file says of a patient is nowhere after its upload: each attribute holds a mark, which is looked for."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from classifier.radiographs.jobs import run_next_prediction
from classifier.radiographs.models import Prediction, Radiograph
from classifier.radiographs.services import trash_radiograph
from classifier.registry.models import ModelVersion
from portal.logs import KeyValueFormatter
from portal.operations import backup
from tests import traces
from tests.marked_dicom import DIGESTS, READ, REFUSED, attributes, marks_in

pytestmark = pytest.mark.django_db(transaction=True)

# Kept by design, and shown to its owner alone.
NAME = "Meier_Hans_19700101"


@pytest.fixture
def answers(as_alice: Client, live_model: ModelVersion, all_logs: pytest.LogCaptureFixture) -> list[Any]:
    """What page and API said to each file; a real worker's job has predicted those that were read."""
    answers = []
    for make in (*READ.values(), *REFUSED.values()):
        content = make()
        assert len(marks_in(content)) > 700 or content.startswith(b"ZQ")
        for address in ("/", "/api/v1/radiographs/"):
            answers.append(as_alice.post(address, {"file": SimpleUploadedFile(f"{NAME}.dcm", content)}))
    for _ in Prediction.objects.all():
        run_next_prediction()
    assert set(Prediction.objects.values_list("state", flat=True)) == {"succeeded"}
    trash_radiograph(radiograph=Radiograph.objects.newest_first()[0])
    return answers


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every logger at its most talkative, in the form that the portal writes."""
    caplog.handler.setFormatter(KeyValueFormatter())
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def everything(client: Client, logs: str, files: Path, tmp_path: Path) -> Iterator[tuple[str, bytes]]:
    """All that is kept, told, exported or backed up."""
    yield from traces.of_database()
    if connection.vendor == "sqlite":
        files_of_it = [Path(f"{connection.settings_dict['NAME']}{end}") for end in ("", "-wal")]
        yield "the database's files", b"".join(file.read_bytes() for file in files_of_it if file.exists())
    for session in Session.objects.all():
        yield "a session", repr(session.get_decoded()).encode()
    yield from traces.of_folder(files)
    yield from traces.of_folder(Path(django_settings.FILE_UPLOAD_TEMP_DIR))
    yield "the log", logs.encode()
    for address in ("/account/export/", "/api/v1/account/export/"):
        yield from traces.unpacked(address, b"".join(client.get(address).streaming_content))  # type: ignore[arg-type]
    backup.write(tmp_path / "backup.zip")
    yield from traces.of_folder(tmp_path)
    for address in ("/", "/radiographs/", "/radiographs/trash/", "/api/v1/radiographs/"):
        yield address, client.get(address).content


def test_no_attribute_of_a_dicom_file_leaves_a_trace(
    answers: list[Any], as_alice: Client, all_logs: pytest.LogCaptureFixture, files: Path, tmp_path: Path
) -> None:
    assert len(attributes()) > 5000
    assert Radiograph.objects.count() == 2 * len(READ)
    hashes = Radiograph.objects.values_list("patient_hash", "study_hash").distinct().get()
    assert all(re.fullmatch("[0-9a-f]{64}", each) and each.encode() not in DIGESTS for each in hashes)
    kept = list(everything(as_alice, all_logs.text, files, tmp_path))
    kept += [("an answer", answer.content) for answer in answers]
    assert sum(len(content) for _, content in kept) > 1_000_000
    assert any(name.endswith("png (pixels)") for name, _ in kept)
    assert [(name, marks_in(content)) for name, content in kept if marks_in(content)] == []


def test_the_name_of_the_file_is_where_its_owner_finds_it_and_nowhere_else(
    answers: list[Any], as_alice: Client, all_logs: pytest.LogCaptureFixture, files: Path, tmp_path: Path
) -> None:
    found = {
        name for name, content in everything(as_alice, all_logs.text, files, tmp_path) if b"Meier" in content
    }
    backed_up = {name for name in found if name.endswith("-radiographs.radiograph.jsonl")}
    assert backed_up
    assert found - backed_up - {"the database's files"} == {
        "radiographs_radiograph.name",
        "/account/export//radiographs.json",
        "/api/v1/account/export//radiographs.json",
        "/",
        "/radiographs/",
        "/radiographs/trash/",
        "/api/v1/radiographs/",
    }

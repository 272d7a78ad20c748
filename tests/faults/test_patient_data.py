"""What a DICOM file says of a patient is nowhere on the disk of a running portal, nor in what it prints."""

from pathlib import Path

import pytest

from tests import traces
from tests.client import Client
from tests.marked_dicom import READ, REFUSED, marks_in
from tests.servers import Portal, running_portal


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    """One that has answered every marked file, was asked for an export, made a backup, and has ended."""
    with running_portal(tmp_path / "var") as portal:
        portal.add_users("alice")
        alice = Client(portal.url, "alice")
        sent = [alice.upload(make(), "Meier_Hans_19700101.dcm") for make in READ.values()]
        for make in REFUSED.values():
            alice.post("radiographs/", fields={"file": ("Meier_Hans_19700101.dcm", make())}, status=400)
        for radiograph in sent:
            assert alice.wait_for_answer(radiograph["prediction"]["id"])["state"] == "succeeded"
        portal.manage("backup", str(portal.data_dir / "backup.zip"))
    return portal


def test_no_attribute_of_a_dicom_file_and_no_file_name_lands_where_it_should_not(portal: Portal) -> None:
    kept = dict(traces.of_folder(portal.data_dir))
    assert {Path(name).suffix for name in kept} >= {".sqlite3", ".png", ".jpg", ".zip", ".log"}
    assert [(name, marks_in(content)) for name, content in kept.items() if marks_in(content)] == []
    named = [name for name, content in kept.items() if b"Meier" in content]
    assert {name for name in named if not name.endswith("-radiographs.radiograph.jsonl")} <= {
        "callus.sqlite3",
        "callus.sqlite3-wal",
    }

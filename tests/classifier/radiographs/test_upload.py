import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from portal.uploads import UnnamedFileUploadHandler
from tests.conftest import xray

JSON = {"Accept": "application/json"}


def empty() -> SimpleUploadedFile:
    return SimpleUploadedFile("empty.png", b"")


def text() -> SimpleUploadedFile:
    return SimpleUploadedFile("notes.jpg", b"Not a picture at all.")


def cut_off() -> SimpleUploadedFile:
    whole = xray(kind="JPEG").read()
    return SimpleUploadedFile("cut-off.jpg", whole[: len(whole) // 2])


def test_a_visitor_is_sent_to_sign_in(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/accounts/login/?next=/"


def test_the_page_says_that_an_answer_is_not_a_diagnosis(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.get("/")
    assert page.status_code == 200
    assert "This is not a diagnosis." in page.text
    assert "cannot rule out a fracture" in page.text


def test_several_files_are_received_at_once_and_named_each(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.post("/", {"file": [xray("left.png"), xray("right.jpg", "JPEG")]})
    assert page.status_code == 200
    assert sorted(Radiograph.objects.values_list("_file_name", flat=True)) == ["left.png", "right.jpg"]
    for radiograph in Radiograph.objects.all():
        assert f'href="/radiographs/{radiograph.id}/"' in page.text


def test_a_good_file_is_kept_beside_a_bad_one(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.post("/", {"file": [xray("good.png"), text()]})
    assert page.status_code == 200
    assert Radiograph.objects.get()._file_name == "good.png"
    assert "The file is not a JPEG, PNG or DICOM image." in page.text


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (empty, "The file is empty."),
        (text, "The file is not a JPEG, PNG or DICOM image."),
        (cut_off, "The JPEG file is cut off: its end is missing."),
    ],
    ids=["empty", "text", "cut off"],
)
def test_a_file_that_is_no_x_ray_is_refused_with_a_sentence_and_leaves_nothing(
    as_alice: Client, model: ModelVersion, file: Callable[[], SimpleUploadedFile], sentence: str
) -> None:
    answer = as_alice.post("/", {"file": file()}, headers=JSON)
    assert answer.status_code == 400
    assert sentence in answer.json()["detail"]
    page = as_alice.post("/", {"file": file()})
    assert page.status_code == 400
    assert sentence in page.text
    assert Radiograph.objects.count() == 0
    assert not default_storage.exists("radiographs")


def test_a_file_over_the_limit_is_413(as_alice: Client, model: ModelVersion, settings: Any) -> None:
    settings.UPLOAD_MAX_BYTES = 1000
    answer = as_alice.post("/", {"file": xray()}, headers=JSON)
    assert answer.status_code == 413
    assert "too large" in answer.json()["detail"]


def test_a_request_over_the_limit_is_413_before_it_is_read(
    as_alice: Client, model: ModelVersion, settings: Any
) -> None:
    settings.UPLOAD_MAX_BYTES = 1024**2

    def huge() -> dict[str, SimpleUploadedFile]:
        return {"file": SimpleUploadedFile("huge.png", bytes(3 * 1024**2))}

    answer = as_alice.post("/", huge(), headers=JSON)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The upload is too large. The limit is 1 MB. Nothing was stored."
    page = as_alice.post("/", huge())
    assert page.status_code == 413
    assert "The upload is too large. The limit is 1 MB. Nothing was stored." in page.text


def test_a_file_that_is_coming_in_has_no_name_that_a_killed_process_could_leave(
    settings: Any, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path
    handler = UnnamedFileUploadHandler()
    handler.new_file("file", "x.dcm", "application/dicom", 9, None, {})
    handler.receive_data_chunk(b"a patient", 0)
    assert list(tmp_path.iterdir()) == []
    file = handler.file_complete(9)
    assert (file.read(), file.size, file.name) == (b"a patient", 9, "x.dcm")
    assert list(tmp_path.iterdir()) == []
    file.close()


def test_files_that_are_not_kept_in_memory_arrive_whole(
    as_alice: Client, model: ModelVersion, settings: Any
) -> None:
    settings.FILE_UPLOAD_MAX_MEMORY_SIZE = 100
    sent = [xray("left.png", seed=1), xray("right.png", seed=2)]
    assert as_alice.post("/", {"file": sent}).status_code == 200
    checksums = {hashlib.sha256(file.open().read()).hexdigest() for file in sent}
    assert set(Radiograph.objects.values_list("sha256", flat=True)) == checksums


def test_too_many_files_in_one_form_are_refused(as_alice: Client, model: ModelVersion, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_NUMBER_FILES = 2
    page = as_alice.post("/", {"file": [xray(), xray(), xray()]})
    assert page.status_code == 400
    assert "Too many files. Upload at most 2 at a time. Nothing was stored." in page.text
    assert Radiograph.objects.count() == 0


def test_no_file_at_all_is_said(as_alice: Client, model: ModelVersion) -> None:
    page = as_alice.post("/")
    assert page.status_code == 400
    assert "Choose at least one file." in page.text


def test_without_a_live_model_the_person_reads_why(as_alice: Client) -> None:
    answer = as_alice.post("/", {"file": xray()}, headers=JSON)
    assert answer.status_code == 503
    assert answer.json()["detail"] == "No model is live yet. Try again in a minute."


def test_a_script_gets_the_row_that_it_shows(as_alice: Client, model: ModelVersion) -> None:
    answer = as_alice.post("/", {"file": xray("wrist.png")}, headers=JSON)
    assert answer.status_code == 201
    radiograph = Radiograph.objects.get()
    assert f'data-waiting="{radiograph.id}:queued"' in answer.json()["item"]


def test_a_script_whose_user_signed_out_is_told_so(client: Client, model: ModelVersion) -> None:
    assert client.post("/", {"file": xray()}, headers=JSON).status_code == 401
    assert Radiograph.objects.count() == 0


def test_a_name_cannot_inject_markup(as_alice: Client, model: ModelVersion) -> None:
    answer = as_alice.post("/", {"file": xray("<img src=x onerror=alert(1)>.png")}, headers=JSON)
    assert "<img src=x" not in answer.json()["item"]
    assert "&lt;img src=x onerror=alert(1)&gt;.png" in answer.json()["item"]


def test_the_newest_results_are_ones_own(as_alice: Client, as_bob: Client, model: ModelVersion) -> None:
    as_bob.post("/", {"file": xray("of-bob.png")})
    as_alice.post("/", {"file": xray("of-alice.png")})
    page = as_alice.get("/").text
    assert "of-alice.png" in page
    assert "of-bob.png" not in page

from datetime import timedelta
from typing import Any

from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from classifier.radiographs.models import Radiograph
from ml.classes import FRACTURE_CLASSES
from tests.uploads import fail, finish


def text_of(client: Client, path: str) -> str:
    """What is read on the page, in one line."""
    answer = client.get(path)
    assert answer.status_code == 200
    return " ".join(strip_tags(answer.text).replace("\N{NO-BREAK SPACE}", " ").split())


def page_of(client: Client, radiograph: Radiograph) -> str:
    return text_of(client, f"/radiographs/{radiograph.id}/")


def test_a_waiting_page_asks_for_its_answer(as_alice: Client, radiograph: Radiograph) -> None:
    page = as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert f'hx-get="/radiographs/{radiograph.id}/answer/?seen=queued-500ms"' in page
    assert 'hx-trigger="every 500ms"' in page
    assert "Waiting for a free worker" in page


def test_a_waiting_page_is_told_of_each_change_once(as_alice: Client, radiograph: Radiograph) -> None:
    path = f"/radiographs/{radiograph.id}/answer/"
    assert as_alice.get(f"{path}?seen=queued-500ms").status_code == 204
    radiograph.predictions.update(state="running")
    running = as_alice.get(f"{path}?seen=queued-500ms")
    assert "Analyzing the X-ray" in running.text
    assert as_alice.get(f"{path}?seen=running-500ms").status_code == 204
    finish(radiograph)
    finished = as_alice.get(f"{path}?seen=running-500ms")
    assert "Avulsion fracture" in finished.text
    assert "hx-trigger" not in finished.text


def test_a_page_that_waits_for_long_asks_less_often(as_alice: Client, radiograph: Radiograph) -> None:
    for waited, pause in ((timedelta(seconds=20), "2s"), (timedelta(minutes=3), "5s")):
        radiograph.predictions.update(created_at=timezone.now() - waited)
        answer = as_alice.get(f"/radiographs/{radiograph.id}/answer/?seen=queued-500ms")
        assert f'hx-trigger="every {pause}"' in answer.text


def test_the_answer_says_class_confidence_all_probabilities_and_version(
    as_alice: Client, radiograph: Radiograph
) -> None:
    finish(radiograph)
    page = page_of(as_alice, radiograph)
    assert "Avulsion fracture Confidence 62%" in page
    for name in FRACTURE_CLASSES:
        assert name.capitalize() in page
    assert "Comminuted fracture 14%" in page
    assert "Spiral fracture <1%" in page.replace("&lt;", "<")
    assert "Model version 1" in page
    assert "Time in queue" in page
    assert "Prediction time" in page


def test_every_result_says_what_it_is_not(as_alice: Client, radiograph: Radiograph) -> None:
    def says_it() -> bool:
        page = page_of(as_alice, radiograph)
        return "This is not a diagnosis." in page and "It cannot rule out a fracture" in page

    assert says_it()
    finish(radiograph)
    assert says_it()
    fail(radiograph)
    assert says_it()


def test_an_unsure_answer_names_no_class_alone(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, abstained=True, confidence=0.27)
    page = page_of(as_alice, radiograph)
    assert "Unsure One of: Avulsion fracture, comminuted fracture or fracture dislocation" in page
    assert "Confidence" not in page


def test_a_picture_that_is_no_bone_x_ray_gets_no_class(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, in_distribution=False, class_name="")
    page = page_of(as_alice, radiograph)
    assert "Not recognized as a bone X-ray The model gives no class" in page
    assert not any(name.capitalize() in page for name in FRACTURE_CLASSES)


def test_the_saliency_lies_over_the_picture_only_where_there_is_one(
    as_alice: Client, radiograph: Radiograph
) -> None:
    saliency = f"/radiographs/{radiograph.id}/saliency/"
    finish(radiograph)
    assert saliency in as_alice.get(f"/radiographs/{radiograph.id}/").text
    finish(radiograph, saliency=None)
    assert saliency not in as_alice.get(f"/radiographs/{radiograph.id}/").text


def test_a_failed_answer_says_why_and_can_be_asked_for_again(
    as_alice: Client, radiograph: Radiograph
) -> None:
    fail(radiograph)
    assert "The stored image can no longer be read. Upload the X-ray again." in page_of(as_alice, radiograph)
    answer = as_alice.post(f"/radiographs/{radiograph.id}/retry/")
    assert answer.headers["Location"] == f"/radiographs/{radiograph.id}/"
    assert radiograph.predictions.get().state == "queued"


def test_an_answer_that_did_not_fail_is_not_asked_for_again(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph)
    page = as_alice.post(f"/radiographs/{radiograph.id}/retry/", follow=True)
    assert "Only a failed prediction can be retried." in page.text
    assert radiograph.predictions.get().state == "succeeded"


def test_a_list_is_told_which_of_its_waiting_rows_changed(as_alice: Client, radiograph: Radiograph) -> None:
    path = f"/radiographs/answers/?waiting={radiograph.id}:queued"
    assert as_alice.get(path).status_code == 204
    finish(radiograph)
    answer = as_alice.get(path)
    assert f'id="answer-{radiograph.id}" hx-swap-oob="true"' in answer.text
    assert "Avulsion fracture" in answer.text


def test_pictures_are_named_typed_and_private(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph)
    kinds = {"image": ("image/png", "wrist.png"), "thumbnail": ("image/jpeg", "wrist-small.jpg")}
    for kind, (content_type, name) in kinds.items():
        answer: Any = as_alice.get(f"/radiographs/{radiograph.id}/{kind}/")
        assert answer.status_code == 200
        assert answer.getvalue()
        assert answer.headers["Content-Type"] == content_type
        assert answer.headers["Content-Disposition"] == f'inline; filename="{name}"'
        assert answer.headers["Cache-Control"] == "private, no-cache"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_a_picture_that_the_browser_has_is_not_sent_again(as_alice: Client, radiograph: Radiograph) -> None:
    path = f"/radiographs/{radiograph.id}/image/"
    first: Any = as_alice.get(path)
    assert first.getvalue()
    again = as_alice.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert again.content == b""

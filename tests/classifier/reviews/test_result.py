from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from django.utils.html import strip_tags

from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
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
    assert "Fracture seen" in finished.text
    assert "hx-trigger" not in finished.text


def test_a_page_that_waits_for_long_asks_less_often(as_alice: Client, radiograph: Radiograph) -> None:
    for waited, pause in ((timedelta(seconds=20), "2s"), (timedelta(minutes=3), "5s")):
        radiograph.predictions.update(created_at=timezone.now() - waited)
        answer = as_alice.get(f"/radiographs/{radiograph.id}/answer/?seen=queued-500ms")
        assert f'hx-trigger="every {pause}"' in answer.text


def test_the_answer_says_finding_probability_three_kinds_body_part_and_version(
    as_alice: Client, radiograph: Radiograph
) -> None:
    finish(radiograph)
    page = page_of(as_alice, radiograph)
    assert "Fracture seen Probability of a fracture: 93% (about 13 in 14)" in page
    assert "Likely kinds of fracture" in page
    assert "Avulsion fracture 62% Comminuted fracture 14% Fracture dislocation 13%" in page
    assert not any(name.capitalize() in page for name in FRACTURE_CLASSES[3:])
    assert "Body part Hand, forearm or elbow" in page
    assert "Model version 1" in page
    assert "Time in queue" in page
    assert "Prediction time" in page


def test_every_result_says_what_it_is_not(as_alice: Client, radiograph: Radiograph) -> None:
    def says_it() -> bool:
        page = page_of(as_alice, radiograph)
        return "This is not a diagnosis." in page and "cannot rule out a fracture" in page

    assert says_it()
    finish(radiograph)
    assert says_it()
    fail(radiograph)
    assert says_it()


def test_a_doubtful_finding_is_explained(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, finding="doubtful", fracture_probability=0.1)
    page = page_of(as_alice, radiograph)
    assert "Doubtful Probability of a fracture: 10% (about 1 in 10)" in page
    assert "between the thresholds of “no fracture seen” and “fracture seen”" in page
    assert "Likely kinds of fracture" in page


def test_a_fracture_seen_with_a_low_probability_is_explained(
    as_alice: Client, radiograph: Radiograph
) -> None:
    finish(radiograph, fracture_probability=0.21)
    assert "Fracture seen Probability of a fracture: 21% (about 1 in 5) “Fracture seen” starts" in page_of(
        as_alice, radiograph
    )


def test_kinds_that_cannot_be_told_apart_are_uncertain(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, prediction_set=list(FRACTURE_CLASSES[:4]))
    page = page_of(as_alice, radiograph)
    assert "Kind of fracture: uncertain" in page
    assert "Likely kinds" not in page


def test_an_x_ray_without_a_fracture_gets_no_kind_and_no_mark(
    as_alice: Client, radiograph: Radiograph
) -> None:
    nothing: dict[str, Any] = {"marks": [], "class_name": "", "confidence": None, "probabilities": []}
    finish(radiograph, finding="no_fracture_seen", fracture_probability=0.02, prediction_set=[], **nothing)
    page = page_of(as_alice, radiograph)
    assert "No fracture seen Probability of a fracture: 2% (about 1 in 50)" in page
    assert not any(name.capitalize() in page for name in FRACTURE_CLASSES)
    assert "Show marks" not in page


def test_the_finding_stands_beside_how_often_it_was_right(
    as_alice: Client, radiograph: Radiograph, model: ModelVersion
) -> None:
    share = {"value": 0.04, "low": 0.01, "high": 0.09, "n": 1200}
    missed = {"value": 0.2, "low": 0.1, "high": 0.3, "n": 50}
    tested = {"n": 1442, "fractured": 123, "fractured_among_no_fracture_seen": share}
    tested["no_fracture_seen_among_fractured"] = missed
    origin = {"never_tested_on": "children"}
    model.card["finding"] = {"figures": {"held_out": {"hand": tested}}, "origin": origin}
    model.save()
    finish(radiograph, finding="no_fracture_seen", fracture_probability=0.02)
    page = page_of(as_alice, radiograph)
    assert "1,152 of all 1,200 X-rays of a hand, forearm or elbow with this finding" in page
    assert "showed no fracture" in page
    assert "(95% interval 91% to 99%)" in page
    assert "1,442 X-rays of a hand, forearm or elbow were tested, of which 123 show a fracture." in page
    assert "It missed 10 of 50 fractures (10% to 30%)." in page
    # Above what only a click shows.
    assert "Never tested on: children." in page.split("About this test")[0]
    assert "If this X-ray shows another body part, these figures do not apply to it." in page


@pytest.mark.parametrize("gap", ["value", "low", "high"])
def test_figures_without_an_interval_are_not_shown(
    as_alice: Client, radiograph: Radiograph, model: ModelVersion, gap: str
) -> None:
    share = {"value": 0.04, "low": 0.01, "high": 0.09, "n": 1200, gap: None}
    tested = {"n": 1442, "fractured": 123, "fractured_among_fracture_seen": share}
    model.card["finding"] = {"figures": {"held_out": {"hand": tested}}}
    model.card["figures"] = {"test": {"n": 9, "top_3_accuracy": {**share, gap: None}}}
    model.save()
    finish(radiograph)
    assert "was not measured for this model version" in page_of(as_alice, radiograph)


def test_a_probability_that_is_not_calibrated_for_the_image_says_so(
    as_alice: Client, radiograph: Radiograph, model: ModelVersion
) -> None:
    share = {"value": 0.7, "low": 0.5, "high": 0.8, "n": 220}
    others = {"n": 1862, "no_fracture_seen": {"value": 0.07, "low": 0.05, "high": 0.09}}
    tested = {"all": {"n": 1090, "fractured": 197, "fractured_among_fracture_seen": share}}
    figures = {"held_out": tested, "fractures_of_other_sources": others}
    model.card["finding"] = {"figures": figures, "origin": {"never_tested_on": "children"}}
    model.save()
    finish(radiograph, calibrated=False)
    page = page_of(as_alice, radiograph)
    assert "Never tested on: children." in page
    assert "The probability is not calibrated for this image," in page
    assert "Of 1,862 such X-rays, which all show a fracture, 130 were answered “no fracture seen”" in page
    assert "How often is this right?" not in page


def test_a_finding_that_was_not_tested_says_so(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph)
    page = page_of(as_alice, radiograph)
    assert "How often this finding is right was not measured for this model version." in page


def test_kinds_stand_beside_how_often_the_true_one_is_among_them(
    as_alice: Client, radiograph: Radiograph, model: ModelVersion
) -> None:
    share = {"value": 0.64, "low": 0.6, "high": 0.68}
    model.card["figures"] = {"held_out": {"n": 1747, "top_3_accuracy": share}}
    model.save()
    finish(radiograph)
    page = page_of(as_alice, radiograph)
    assert "on 1,747 fractured X-rays, the true kind was among the three most probable in 1,118" in page
    assert "(95% interval 60% to 68%)" in page


def test_a_model_that_answers_the_kind_only_says_so(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, finding="", fracture_probability=None, marks=[], body_part="")
    page = page_of(as_alice, radiograph)
    assert "This model version does not say whether a bone is broken." in page
    assert "Avulsion fracture 62%" in page


def test_a_picture_that_is_no_bone_x_ray_gets_no_class(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph, finding="not_recognized", in_distribution=False, class_name="", probabilities=[])
    page = page_of(as_alice, radiograph)
    assert "Not recognized as a bone X-ray The model gives no finding" in page
    assert not any(name.capitalize() in page for name in FRACTURE_CLASSES)


def test_the_marks_lie_over_the_picture_and_can_be_hidden(as_alice: Client, radiograph: Radiograph) -> None:
    finish(radiograph)
    page = as_alice.get(f"/radiographs/{radiograph.id}/").text
    assert '<rect class="mark-box is-first" x="20.0" y="30.0" width="24.0" height="18.0"/>' in page
    assert "Show marks (1)" in page
    assert "Show boxes of reviewers" not in page


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
    assert "Fracture seen" in answer.text


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

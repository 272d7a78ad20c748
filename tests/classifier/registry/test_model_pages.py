"""Model versions: what is known of each, compared, promoted through the gate, rolled back."""

import re

import pytest
from django.test import Client

from classifier.core.models import User
from classifier.core.permissions import VIEW
from classifier.registry.models import ModelVersion, Promotion
from classifier.training.models import Comparison
from tests.people import signed_in
from tests.retraining import confirm_as_second_person, promoted
from tests.retraining_rows import compare, make_candidate, make_dataset, num_queries, trainer, user_who_may


@pytest.fixture
def as_tess(db: None) -> Client:
    return trainer()


@pytest.fixture
def candidate(model: ModelVersion) -> ModelVersion:
    """Model 2, not live."""
    return make_candidate()


PAGES = ["/models/", "/models/2/", "/models/2/report/", "/models/promotions/", "/comparisons/1/"]
ACTIONS = ["/models/2/compare/", "/models/2/promote/", "/models/roll-back/"]


@pytest.mark.parametrize("page", [*PAGES, *ACTIONS, "/comparisons/1/progress/"])
def test_an_ordinary_user_finds_nothing(
    as_alice: Client, candidate: ModelVersion, model: ModelVersion, page: str
) -> None:
    compare(candidate, model, id=1)
    assert as_alice.get(page).status_code == 404
    assert as_alice.post(page).status_code == 404
    assert ModelVersion.objects.live() == model


def test_who_may_only_look_changes_nothing(candidate: ModelVersion, model: ModelVersion) -> None:
    compare(candidate, model, id=1)
    viewer = signed_in(user_who_may("vera", VIEW))
    for page in PAGES:
        assert viewer.get(page).status_code == 200
    for page in ACTIONS:
        assert viewer.post(page, {"reason": "Because"}).status_code == 404
    assert "Promote" not in viewer.get("/models/2/").text.replace("Promotions", "")
    assert ModelVersion.objects.live() == model


def test_the_list_marks_the_live_one_and_gives_figures_with_interval_and_n(
    as_tess: Client, candidate: ModelVersion
) -> None:
    page = " ".join(as_tess.get("/models/").text.split())
    assert 'Model 1</a> <span class="tag is-live">live</span>' in page
    assert 'Model 2</a> <span class="tag is-live">' not in page
    assert "Kind: balanced accuracy 0.310" in page
    assert "95% CI 0.240 to 0.390; n = 132 test images" in page


def test_the_list_gives_the_figures_of_the_finding(as_tess: Client, live_model: ModelVersion) -> None:
    page = " ".join(as_tess.get("/models/").text.split())
    assert "Finding: AUROC 0.924" in page
    assert "95% CI 0.894 to 0.950; n = 1,090 X-rays" in page


def test_a_version_shows_the_figures_of_its_finding_by_body_part(
    as_tess: Client, live_model: ModelVersion
) -> None:
    page = " ".join(as_tess.get(f"/models/{live_model.number}/").text.split())
    assert "Finding: performance on 1,090 X-rays that it was not trained on" in page
    row = page[page.index("Hand, forearm or elbow") :]
    assert "0.88 (0.83 to 0.93)" in row[: row.index("</tr>")]
    assert "Never tested on: X-rays of other hospitals" in page


def test_a_version_shows_all_that_is_known_of_it(as_tess: Client, candidate: ModelVersion) -> None:
    page = as_tess.get("/models/2/").text
    for words in (
        "Kind of fracture: performance on 132 test images in 92 groups",
        "0.310 (0.240 to 0.390)",
        candidate.checksum,
        "tiny_cnn",
        "Sensitivity",
        "PPV",
        "Confusion matrix",
        "Calibration",
        'aria-label="Loss: Training from 2.200 to 2.000"',
        "Not compared yet.",
        "This is not a diagnosis.",
    ):
        assert words in page


def test_a_model_without_a_report_is_no_error(as_tess: Client, model: ModelVersion) -> None:
    page = as_tess.get("/models/1/").text
    assert "Confusion matrix" not in page
    assert as_tess.get("/models/9/").status_code == 404


def test_the_shipped_model_shows_the_figures_of_its_card(as_tess: Client, live_model: ModelVersion) -> None:
    page = as_tess.get(f"/models/{live_model.number}/").text
    assert live_model.checksum in page
    assert "test images in" in page


def test_the_report_is_there_to_take_along(as_tess: Client, candidate: ModelVersion) -> None:
    answer = as_tess.get("/models/2/report/")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="callus-model-2.json"'
    assert answer.json()["checksum"] == candidate.checksum
    assert answer.json()["report"]["n"] == 132


def test_a_comparison_shows_the_paired_difference_and_where_they_disagree(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion
) -> None:
    comparison = compare(candidate, model, num_left_out=2)
    page = " ".join(as_tess.get(f"/comparisons/{comparison.pk}/").text.split())
    for words in (
        "Not worse by more than the margin",
        "Model 2 is at most 0.05 worse than Model 1: balanced accuracy 0.320 compared with 0.310, difference +0.010 "
        "(95% CI \N{MINUS SIGN}0.040 to +0.060), n = 132 test images in 92 groups.",
        "The comparison could find a difference of 0.071 or more (with 80% power).",
        "Exact McNemar test: p&nbsp;= 0.267",
        "2 test images were excluded",
        "The models disagree on 1 image",
        "Model 1: Spiral fracture, 40",
        "path=Spiral%20Fracture%2FTrain%2F07%20%26%20more.png",
    ):
        assert words in page


def test_a_comparison_is_asked_for_watched_and_shown_when_it_is_there(
    as_tess: Client, candidate: ModelVersion
) -> None:
    where = as_tess.post("/models/2/compare/").headers["Location"]
    comparison = Comparison.objects.get()
    assert where == f"/comparisons/{comparison.pk}/"
    assert "Waiting for the training worker." in as_tess.get(where).text
    assert as_tess.get(f"{where}progress/", {"seen": "queued--0"}).status_code == 204
    Comparison.objects.update(state="failed", error="The two models have different classes.")
    assert as_tess.get(f"{where}progress/", {"seen": "queued--0"}).headers["HX-Refresh"] == "true"
    assert "The two models have different classes." in as_tess.get(where).text
    assert as_tess.get("/models/1/compare/").status_code == 405
    assert "is live; there is nothing" in as_tess.post("/models/1/compare/", follow=True).text


def test_what_stands_the_comparison_is_promoted_without_a_reason(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion
) -> None:
    compare(candidate, model)
    page = as_tess.get("/models/2/promote/").text
    assert "Model 2 is at most 0.05 worse than Model 1" in page
    assert " required" not in page[page.index('name="reason"') :].split(">")[0]
    answer = as_tess.post("/models/2/promote/", follow=True)
    assert "Model 2 is live" in answer.text
    assert ModelVersion.objects.live() == candidate


def test_who_promotes_a_trained_model_reads_that_its_finding_is_not_new(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion
) -> None:
    sentence = "Training changed the kind of fracture only."
    assert sentence not in as_tess.get("/models/2/promote/").text
    candidate.card["finding"] = {}
    candidate.save()
    assert sentence in as_tess.get("/models/2/promote/").text


@pytest.mark.parametrize(
    ("verdict", "objection"),
    [
        ("worse", "Kind of fracture: Model 2 is significantly worse than Model 1: balanced accuracy 0.160"),
        (
            "inconclusive",
            "It is not shown that Model 2 is at most 0.05 worse than Model 1: balanced accuracy",
        ),
        (
            "too few",
            "too few test images to say whether Model 2 is worse than Model 1 (missing: 91 images and",
        ),
        ("guessing", "Model 2 is no better than guessing"),
        ("", "Model 2 has not been compared with the live model (Model 1) on the same test images."),
    ],
)
def test_the_gate_refuses_with_a_sentence_until_a_second_person_confirms_the_reason(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion, verdict: str, objection: str
) -> None:
    if verdict:
        compare(candidate, model, verdict)
    page = as_tess.get("/models/2/promote/").text
    assert objection in page
    assert " required" in page[page.index('name="reason"') :].split(">")[0]
    refused = as_tess.post("/models/2/promote/", {"reason": "  "})
    assert refused.status_code == 409
    assert objection in refused.text
    assert ModelVersion.objects.live() == model
    asked = as_tess.post("/models/2/promote/", {"reason": "Faster, and the ward wants it"}, follow=True)
    assert "Model 2 is not live yet" in asked.text
    assert ModelVersion.objects.live() == model
    confirm_as_second_person()
    assert ModelVersion.objects.live() == candidate
    page = as_tess.get("/models/promotions/").text
    assert objection in page
    assert "Faster, and the ward wants it" in page
    assert "by tess, confirmed by second" in page


def test_rolling_back_asks_and_then_the_version_before_is_live_again(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion
) -> None:
    assert "Roll back" not in as_tess.get("/models/").text
    assert "No earlier model" in as_tess.get("/models/roll-back/").text
    assert "No other model was live before" in as_tess.post("/models/roll-back/", follow=True).text
    promoted(User.objects.get(username="tess"), candidate)
    assert "Roll back to Model 1" in as_tess.get("/models/").text
    assert "Roll back to Model 1?" in as_tess.get("/models/roll-back/").text
    assert ModelVersion.objects.live() == candidate
    answer = as_tess.post("/models/roll-back/", {"reason": "It was worse"}, follow=True)
    assert "Model 1 is live again." in answer.text
    assert "It was worse" in answer.text
    assert ModelVersion.objects.live() == model
    assert Promotion.objects.count() == 3


def test_a_page_that_was_opened_before_the_live_model_changed_changes_nothing(
    as_tess: Client, candidate: ModelVersion, model: ModelVersion, admin_client: Client
) -> None:
    third = make_candidate(candidate.training_run.dataset_version)
    for version in (candidate, third):
        promoted(User.objects.get(username="tess"), version)
    seen = {"live": hidden_live(as_tess.get("/models/roll-back/").text), "reason": "It was worse"}

    assert admin_client.post("/models/roll-back/", seen).status_code == 302
    late = as_tess.post("/models/roll-back/", seen)

    assert late.status_code == 409
    assert "Model 2 has become live in the meantime, so nothing was changed." in late.text
    assert "Roll back to Model 1?" in late.text
    assert ModelVersion.objects.live() == candidate
    late = as_tess.post("/models/1/promote/", seen)
    assert (late.status_code, ModelVersion.objects.live()) == (409, candidate)
    seen["live"] = hidden_live(late.text)
    seen["reason"] = "It was worse on the ward."
    assert as_tess.post("/models/1/promote/", seen).status_code == 302
    confirm_as_second_person()
    assert ModelVersion.objects.live() == model


def hidden_live(page: str) -> str:
    found = re.search(r'name="live" value="(\d+)"', page)
    assert found
    return found[1]


def test_the_live_model_cannot_be_promoted(as_tess: Client, model: ModelVersion) -> None:
    assert "Model 1 is live" in as_tess.get("/models/1/promote/").text
    assert as_tess.post("/models/1/promote/", {"reason": "Again"}).status_code == 409


@pytest.mark.parametrize("path", ["/models/", "/models/promotions/"])
def test_the_queries_of_the_lists_do_not_grow_with_their_rows(
    as_tess: Client, model: ModelVersion, path: str
) -> None:
    dataset = make_dataset()
    make_candidate(dataset).promotions.create()
    with_few = num_queries(as_tess, path)
    for _ in range(5):
        make_candidate(dataset).promotions.create()
    assert num_queries(as_tess, path) == with_few

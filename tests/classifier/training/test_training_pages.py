"""Training runs: started, watched, canceled; the schedule and the audit log."""

import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from classifier.core.models import AuditEntry, User
from classifier.core.permissions import VIEW
from classifier.registry.models import ModelVersion
from classifier.training.models import RetrainingSchedule, TrainingRun
from tests.people import signed_in
from tests.retraining_rows import (
    EPOCHS,
    make_candidate,
    make_dataset,
    make_run,
    num_queries,
    trainer,
    user_who_may,
)

pytestmark = pytest.mark.usefixtures("model")


@pytest.fixture
def as_tess(db: None) -> Client:
    return trainer()


PAGES = ["/training/", "/training/1/", "/training/1/progress/", "/training/schedule/", "/audit-log/"]
ACTIONS = ["/training/start/", "/training/1/cancel/"]


@pytest.mark.parametrize("page", [*PAGES, *ACTIONS])
def test_an_ordinary_user_finds_nothing(as_alice: Client, page: str) -> None:
    run = make_run(make_dataset(), id=1)
    assert as_alice.get(page).status_code == 404
    assert as_alice.post(page).status_code == 404
    run.refresh_from_db()
    assert run.state == "queued"
    assert "Retraining" not in as_alice.get("/").text


def test_who_may_only_look_starts_cancels_and_sets_nothing(db: None) -> None:
    make_run(make_dataset(), id=1)
    viewer = signed_in(user_who_may("vera", VIEW))
    for page in PAGES:
        assert viewer.get(page).status_code == 200
    for page in (*ACTIONS, "/training/schedule/"):
        assert viewer.post(page).status_code == 404
    assert "Cancel run" not in viewer.get("/training/1/").text
    assert "Save schedule" not in viewer.get("/training/schedule/").text


def test_a_run_is_started_with_what_was_chosen(as_tess: Client) -> None:
    dataset = make_dataset()
    page = as_tess.get(f"/training/start/?dataset_version={dataset.pk}").text
    assert "A small network that trains in seconds" in page
    assert "A training run trains one part of the answer" in page
    chosen = {
        "dataset_version": dataset.pk,
        "recipe": "tiny",
        "start": "scratch",
        "epochs": "4",
        "batch_size": "",
        "seed": "7",
    }
    answer = as_tess.post("/training/start/", chosen)
    run = TrainingRun.objects.get()
    assert answer.headers["Location"] == f"/training/{run.pk}/"
    assert (run.recipe, run.start, run.epochs_asked, run.batch_size, run.seed) == (
        "tiny",
        "scratch",
        4,
        None,
        7,
    )


def test_the_form_starts_a_run_as_it_is_first_shown(as_tess: Client) -> None:
    dataset = make_dataset()
    form = as_tess.get("/training/start/").context["form"]
    shown = {field.name: field.value() for field in form if field.value() is not None}
    assert as_tess.post("/training/start/", shown).status_code == 302
    run = TrainingRun.objects.get()
    assert (run.dataset_version, run.recipe, run.start) == (dataset, "probe", "pretrained")


def test_recipes_for_tests_and_comparisons_are_folded_up_until_one_is_chosen(as_tess: Client) -> None:
    chosen = {"dataset_version": make_dataset().pk, "recipe": "tiny", "start": "live", "seed": "0"}
    folded = as_tess.get("/training/start/").text
    usual, _, others = folded.partition("<details>")
    assert 'value="efficient_top"' in usual
    assert 'value="tiny"' not in usual
    assert 'value="tiny"' in others.partition("</details>")[0]
    assert 'value="seed_cnn"' in others.partition("</details>")[0]
    assert "<details open>" in as_tess.post("/training/start/", chosen).text


def test_a_run_of_the_finding_starts_from_the_live_model(as_tess: Client, model: ModelVersion) -> None:
    model.card = {**model.card, "finding": {}}
    model.save()
    dataset = make_dataset(findings={"train": {"fractured": 40}})
    form = as_tess.get("/training/start/").context["form"]
    shown = {field.name: field.value() for field in form if field.value() is not None}

    assert as_tess.post("/training/start/", {**shown, "recipe": "fracture_tune"}).status_code == 302

    run = TrainingRun.objects.get()
    assert (run.dataset_version, run.recipe, run.trains_finding) == (dataset, "fracture_tune", True)
    assert (run.start, run.start_version) == ("live", model)
    for address in ("/training/", f"/training/{run.pk}/"):
        assert "finding" in as_tess.get(address).text.lower()


@pytest.mark.parametrize(
    ("chosen", "findings", "card", "sentence"),
    [
        ({}, {}, {"finding": {}}, "Data set 1 does not say which X-rays show a fracture"),
        ({"epochs": "3"}, {"train": {}}, {"finding": {}}, "has its own epochs and batch size"),
        ({}, {"train": {}}, {}, "Model 1 does not say whether a bone is broken"),
    ],
)
def test_a_finding_that_cannot_be_trained_is_refused_with_a_sentence(
    as_tess: Client,
    model: ModelVersion,
    chosen: dict[str, str],
    findings: dict[str, Any],
    card: dict[str, Any],
    sentence: str,
) -> None:
    model.card = {**model.card, **card}
    model.save()
    dataset = make_dataset(id=1, findings=findings)
    form = {"dataset_version": dataset.pk, "recipe": "fracture_tune", "start": "live", "seed": "0", **chosen}
    answer = as_tess.post("/training/start/", form)
    assert answer.status_code in (400, 409)
    assert sentence in answer.text
    assert not TrainingRun.objects.exists()


def test_the_kind_cannot_be_trained_on_a_data_set_without_classes(as_tess: Client) -> None:
    dataset = make_dataset(classes=[], counts={}, findings={"train": {"fractured": 40}})
    form = {"dataset_version": dataset.pk, "recipe": "efficient_top", "start": "pretrained", "seed": "0"}
    assert "has no X-rays with a kind of fracture" in as_tess.post("/training/start/", form).text


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"recipe": "secret"}, "Select a valid choice"),
        ({"epochs": "0"}, "The value for epochs must be between 1 and 500."),
        ({"recipe": "top"}, "cannot start from scratch: it needs pretrained weights."),
        ({"start": "live"}, "cannot start from Model 1, which is another network."),
        ({"recipe": "probe", "start": "live"}, "The recipe probe starts from the pretrained network only."),
        (
            {"recipe": "probe", "start": "pretrained", "batch_size": "8"},
            "The recipe probe trains without epochs and batches. Leave both empty.",
        ),
        ({"dataset_version": "99"}, "Select a valid choice"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    as_tess: Client, wrong: dict[str, str], sentence: str
) -> None:
    chosen = {"dataset_version": make_dataset().pk, "recipe": "tiny", "start": "scratch", "seed": "0"}
    answer = as_tess.post("/training/start/", {**chosen, **wrong})
    assert answer.status_code == 400
    assert sentence in answer.text
    assert not TrainingRun.objects.exists()


def test_without_a_data_set_the_form_says_what_to_do_first(as_tess: Client) -> None:
    assert "Upload a data set before you start training." in as_tess.get("/training/start/").text


def test_a_waiting_run_says_what_it_waits_for(as_tess: Client) -> None:
    dataset = make_dataset()
    first = make_run(dataset, state="running", started_at=timezone.now())
    second = make_run(dataset)
    third = make_run(dataset)
    assert f"Waiting for {first}, which is running." in as_tess.get(f"/training/{second.pk}/").text
    overview = " ".join(as_tess.get("/training/").text.split())
    assert f"Waiting for {first}, which is running." in overview
    assert f"Waiting for {first}, which is running, and 1 more." in overview
    assert f"Waiting for {first}, which is running, and 1 more." in as_tess.get(f"/training/{third.pk}/").text


def test_a_run_after_its_last_step_does_not_say_that_no_time_is_left(as_tess: Client) -> None:
    # What follows, such as the calibration, is not part of the estimate.
    run = make_run(make_dataset(), state="running", phase="train", step=9, steps=9, seconds_left=0.0)
    page = as_tess.get(f"/training/{run.pk}/").text
    assert "Finishing this phase" in page
    assert "s left" not in page


def test_a_running_run_shows_bars_curves_and_log_and_is_told_of_each_step_once(as_tess: Client) -> None:
    run = make_run(
        make_dataset(),
        state="running",
        phase="train",
        epoch=2,
        epochs=3,
        step=5,
        steps=9,
        seconds_left=75.0,
        history=EPOCHS[:2],
        log_tail="train 2/3  loss 2.100 <tag>",
    )
    page = as_tess.get(f"/training/{run.pk}/").text
    assert '<progress max="3" value="2" aria-label="Epochs">' in page
    assert '<progress max="9" value="5" aria-label="Steps">' in page
    assert "About 75\N{NO-BREAK SPACE}s left" in page
    assert "loss 2.100 &lt;tag&gt;" in page
    assert 'aria-label="Loss: Training from 2.200 to 2.100"' in page
    assert num_points(page) == [2, 2]
    seen = re.search(r"seen=([^\"]+)\"", page)
    assert seen
    progress = f"/training/{run.pk}/progress/?seen={seen[1]}"
    assert as_tess.get(progress).status_code == 204
    TrainingRun.objects.update(epoch=3, step=9, history=EPOCHS)
    update = as_tess.get(progress).text
    assert num_points(update) == [3, 3]
    assert update.count('hx-swap-oob="true"') == 4
    TrainingRun.objects.update(state="succeeded")
    assert "hx-get" not in as_tess.get(progress).text


def num_points(page: str) -> list[int]:
    return [len(points.split()) for points in re.findall(r'<polyline class="curve" points="([^"]*)"', page)]


def test_a_finished_run_links_to_its_model_and_a_failed_one_says_why(as_tess: Client) -> None:
    version = make_candidate()
    page = as_tess.get(f"/training/{version.training_run.pk}/").text
    assert f'Created <a href="/models/{version.number}/">{version}</a>' in page
    assert "Cancel run" not in page
    failed = make_run(version.training_run.dataset_version, state="failed", error="It ran out of memory.")
    assert "It ran out of memory." in as_tess.get(f"/training/{failed.pk}/").text


def test_a_run_is_canceled_once(as_tess: Client) -> None:
    run = make_run(make_dataset())
    assert "Canceled by tess" in as_tess.post(f"/training/{run.pk}/cancel/", follow=True).text
    assert "has finished" in as_tess.post(f"/training/{run.pk}/cancel/", follow=True).text
    begun = make_run(run.dataset_version, state="running", started_at=timezone.now())
    assert "Canceling" in as_tess.post(f"/training/{begun.pk}/cancel/", follow=True).text


def test_the_queries_of_the_list_do_not_grow_with_its_rows(as_tess: Client) -> None:
    dataset = make_dataset()
    make_candidate(dataset)
    make_run(dataset)
    with_few = num_queries(as_tess, "/training/")
    for _ in range(5):
        make_candidate(dataset)
        make_run(dataset)
    assert num_queries(as_tess, "/training/") == with_few


def test_the_schedule_is_off_until_somebody_sets_it(as_tess: Client) -> None:
    page = as_tess.get("/training/schedule/").text
    assert re.search(r'value="off"[^>]*checked', page)
    assert re.search(r'<option value="probe" selected', page)
    answer = as_tess.post(
        "/training/schedule/", {"mode": "after_reviews", "num_reviews": "50", "recipe": "top"}, follow=True
    )
    assert "Schedule saved." in answer.text
    schedule = RetrainingSchedule.get()
    assert (schedule.mode, schedule.num_reviews, schedule.recipe) == ("after_reviews", 50, "top")
    wrong = as_tess.post("/training/schedule/", {"mode": "daily", "num_reviews": "0", "recipe": "top"})
    assert wrong.status_code == 400
    assert RetrainingSchedule.get().mode == "after_reviews"


def test_the_audit_log_is_paged_to_its_end_and_back(
    as_tess: Client, alice: User, model: ModelVersion
) -> None:
    def add_entry(number: int) -> None:
        AuditEntry.objects.record(actor=alice, action=f"looked {number}", about=model)

    def turn(page: str, way: str) -> str:
        link = re.search(rf'href="([^"]*)">{way}<', page)
        assert link, f"there is no {way} page"
        return as_tess.get(f"/audit-log/{link[1]}").text

    def shown(page: str) -> list[int]:
        return [int(number) for number in re.findall(r"looked (\d+):", page)]

    for number in range(120):
        add_entry(number)
    first = as_tess.get("/audit-log/").text
    assert shown(first) == list(range(119, 69, -1))
    assert 'rel="prev"' not in first
    second = turn(first, "Older")
    add_entry(120)
    last = turn(second, "Older")
    assert shown(second) + shown(last) == list(range(69, -1, -1)), "an entry came, and none was shown twice"
    assert 'rel="next"' not in last
    assert shown(turn(last, "Newer")) == shown(second)
    assert shown(turn(turn(last, "Newer"), "Newer")) == list(range(119, 69, -1))
    for nonsense in ("?before=x", "?after=-1", f"?before={10**30}", "?after="):
        assert shown(as_tess.get(f"/audit-log/{nonsense}").text)[0] == 120


def test_the_audit_log_is_read_and_never_written(as_tess: Client, alice: User, model: ModelVersion) -> None:
    AuditEntry.objects.record(actor=alice, action="looked", about=model, reason="<b>why</b>")
    page = as_tess.get("/audit-log/").text
    assert "looked: Model 1" in page
    assert "&lt;b&gt;why&lt;/b&gt;" in page
    for send in (as_tess.post, as_tess.put, as_tess.delete):
        assert send("/audit-log/").status_code == 405

"""Retraining by itself: off by default, monthly or after new reviews; it never promotes."""

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from classifier.core.models import User
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion, Promotion
from classifier.training.jobs.schedule import a_month_after, follow_schedule
from classifier.training.models import RetrainingSchedule, TrainingRun
from classifier.training.services import ScheduleRefused, set_schedule
from tests.retraining import answered, person, ready_dataset, say

pytestmark = pytest.mark.django_db


@pytest.fixture
def tara(model: ModelVersion) -> User:
    ready_dataset()
    return person("tara", "Trainers")


def review(number: int, model: ModelVersion, owner: User) -> None:
    for seed in range(number):
        say(owner, answered(owner, model, seed=seed))


def runs() -> int:
    follow_schedule()
    return TrainingRun.objects.count()


def test_it_is_off_until_somebody_sets_it(tara: User, model: ModelVersion) -> None:
    review(3, model, tara)

    assert RetrainingSchedule.get().mode == "off"
    assert runs() == 0


def test_a_review_that_is_sent_again_counts_once(tara: User, model: ModelVersion) -> None:
    set_schedule(user=tara, mode="after_reviews", num_reviews=3, recipe="tiny")
    prediction = answered(tara, model)
    for _ in range(3):
        say(tara, prediction)
    assert runs() == 0
    say(person("rita", "Reviewers"), prediction)
    review(1, model, tara)
    assert runs() == 1


def test_after_so_many_new_reviews_a_run_starts_once_and_promotes_nothing(
    tara: User, model: ModelVersion
) -> None:
    review(2, model, tara)
    set_schedule(user=tara, mode="after_reviews", num_reviews=3, recipe="tiny")
    assert runs() == 0, "reviews count from when it was set"
    review(2, model, tara)
    assert runs() == 0
    review(1, model, tara)
    assert runs() == 1
    assert runs() == 1

    run = TrainingRun.objects.get()
    assert (run.recipe, run.start, run.created_by) == ("tiny", "scratch", tara)
    assert run.dataset_version.source == DatasetVersion.Source.REVIEWS
    assert run.dataset_version.state == "queued"
    assert Promotion.objects.count() == 1
    assert RetrainingSchedule.get().last_outcome == f"{run.dataset_version} and {run} were started."


def test_each_month_if_there_are_new_reviews(tara: User, model: ModelVersion) -> None:
    set_schedule(user=tara, mode="monthly", recipe="tiny")
    review(1, model, tara)
    assert runs() == 0

    RetrainingSchedule.objects.update(last_at=timezone.now() - timedelta(days=32))
    assert runs() == 1

    DatasetVersion.objects.update(state="succeeded")
    RetrainingSchedule.objects.update(last_at=timezone.now() - timedelta(days=32))
    assert runs() == 1
    assert RetrainingSchedule.get().last_outcome == "There was no new review."


@pytest.mark.parametrize(("moment", "later"), [((2026, 1, 31), (2026, 2, 28)), ((2026, 12, 5), (2027, 1, 5))])
def test_a_month_is_a_calendar_month(moment: tuple[int, int, int], later: tuple[int, int, int]) -> None:
    assert a_month_after(datetime(*moment, tzinfo=UTC)) == datetime(*later, tzinfo=UTC)


def test_what_has_a_pretrained_network_starts_from_it_and_never_from_what_learned_the_same_images(
    tara: User, model: ModelVersion
) -> None:
    set_schedule(user=tara, mode="after_reviews", num_reviews=1, recipe="probe")
    review(1, model, tara)

    assert runs() == 1
    run = TrainingRun.objects.get()
    assert (run.start, run.start_version) == ("pretrained", None)


def test_what_cannot_start_is_said_and_starts_nothing(tara: User, model: ModelVersion) -> None:
    set_schedule(user=tara, mode="after_reviews", num_reviews=1, recipe="probe")
    review(1, model, tara)
    DatasetVersion.objects.update(state="failed")

    assert runs() == 0
    assert "no data set version" in RetrainingSchedule.get().last_outcome
    assert DatasetVersion.objects.count() == 1


def test_a_schedule_that_makes_no_sense_is_refused(tara: User) -> None:
    for wanted in ({"mode": "daily"}, {"mode": "monthly", "recipe": "?"}, {"mode": "off", "num_reviews": 0}):
        with pytest.raises(ScheduleRefused):
            set_schedule(user=tara, **wanted)  # type: ignore[arg-type]

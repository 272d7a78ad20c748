"""Starts a data set and a training run when the retraining schedule is due."""

import calendar
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from classifier.core.models import AuditEntry
from classifier.core.queued_work import first_resend_time
from classifier.datasets.models import DatasetVersion
from classifier.reviews.models import Review
from classifier.training.models import RetrainingSchedule, TrainingRun
from ml.networks.recipes import RECIPES


def follow_schedule() -> None:
    """Start a training run on what was reviewed since the last one, if the schedule says it is time. Never promotes.

    The rows are sent by the next sweep.
    """
    schedule = RetrainingSchedule.get()
    now = timezone.now()
    if schedule.mode == RetrainingSchedule.Mode.OFF:
        return
    new_reviews = Review.objects.filter(id__gt=schedule.last_review_id)
    # A review that is sent twice, or changed, is one. Counts no further than it matters.
    num_new = new_reviews.values("radiograph", "reviewer").distinct()[: schedule.num_reviews].count()
    if not _is_due(schedule, num_new, now) or DatasetVersion.objects.unfinished().exists():
        return
    last_review = new_reviews.order_by("-id").first()
    with transaction.atomic():
        # Of two schedulers, one changes the row.
        unchanged = RetrainingSchedule.objects.filter(
            id=schedule.pk, last_at=schedule.last_at, last_review_id=schedule.last_review_id
        )
        last_review_id = last_review.pk if last_review else schedule.last_review_id
        if unchanged.update(last_at=now, last_review_id=last_review_id):
            outcome = _start(schedule) if num_new else "There was no new review."
            RetrainingSchedule.objects.filter(id=schedule.pk).update(last_outcome=outcome)
            AuditEntry.objects.record(actor=None, action="schedule followed", about=schedule, outcome=outcome)


def _is_due(schedule: RetrainingSchedule, num_new: int, now: datetime) -> bool:
    if schedule.mode == RetrainingSchedule.Mode.AFTER_REVIEWS:
        return num_new >= schedule.num_reviews
    if schedule.mode == RetrainingSchedule.Mode.MONTHLY:
        return schedule.last_at is None or now >= a_month_after(schedule.last_at)
    return False


def a_month_after(moment: datetime) -> datetime:
    """The same day and hour of the next month, or that month's last day."""
    year, month = (moment.year + 1, 1) if moment.month == 12 else (moment.year, moment.month + 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))


def _start(schedule: RetrainingSchedule) -> str:
    parent, recipe = DatasetVersion.objects.with_classes().newest(), RECIPES.get(schedule.recipe)
    if parent is None or recipe is None:
        return "There is no data set version with classes, or no recipe, to start from."
    dataset = DatasetVersion.objects.create(
        source=DatasetVersion.Source.REVIEWS,
        parent=parent,
        created_by=schedule.set_by,
        note="By schedule",
        send_at=timezone.now(),
    )
    run = TrainingRun.objects.create(
        dataset_version=dataset,
        recipe=recipe.name,
        start=TrainingRun.Start.PRETRAINED if recipe.pretrained else TrainingRun.Start.SCRATCH,
        created_by=schedule.set_by,
        send_at=first_resend_time(),
    )
    return f"{dataset} and {run} were started."

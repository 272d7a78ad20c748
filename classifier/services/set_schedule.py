from django.db import transaction
from django.utils import timezone

from classifier.errors import CallusError
from classifier.models import AuditEntry, RetrainingSchedule, Review, User
from classifier.models.schedule import MAX_REVIEWS
from ml.recipes import RECIPES


class ScheduleRefused(CallusError):
    sentence = "This schedule cannot be kept."


def set_schedule(*, user: User, mode: str, recipe: str = "", num_reviews: int = 100) -> RetrainingSchedule:
    """Say when Callus retrains by itself. Months and new reviews count from now on.

    Raises:
        ScheduleRefused: with a sentence for the person.
    """
    if mode not in RetrainingSchedule.Mode:
        raise ScheduleRefused(f"A schedule is one of {', '.join(RetrainingSchedule.Mode.values)}.")
    if mode != RetrainingSchedule.Mode.OFF and recipe not in RECIPES:
        raise ScheduleRefused(f"A recipe is one of {', '.join(RECIPES)}.")
    if not 1 <= num_reviews <= MAX_REVIEWS:
        raise ScheduleRefused(f"The number of reviews must lie between 1 and {MAX_REVIEWS:,}.")
    schedule = RetrainingSchedule.get()
    newest = Review.objects.order_by("-id").first()
    schedule.mode, schedule.recipe, schedule.num_reviews = mode, recipe, num_reviews
    schedule.set_by, schedule.last_at = user, timezone.now()
    schedule.last_review_id = newest.pk if newest else 0
    schedule.last_outcome = ""
    with transaction.atomic():
        schedule.save()
        AuditEntry.objects.record(
            actor=user,
            action="schedule set",
            about=schedule,
            mode=mode,
            recipe=recipe,
            num_reviews=num_reviews,
        )
    return schedule

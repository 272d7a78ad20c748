"""Requests training runs, comparisons and recalibrations, cancels runs, and sets the schedule."""

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.utils import timezone

from classifier.core.broker_messages import send_on_commit
from classifier.core.errors import CallusError, ModelUnavailable, NotAllowedNow
from classifier.core.models import AuditEntry, User
from classifier.datasets.models import DatasetVersion
from classifier.registry.models import ModelVersion
from classifier.reviews.models import Review
from classifier.training.models import (
    MAX_BATCH_SIZE,
    MAX_EPOCHS,
    MAX_REVIEWS,
    MAX_SEED,
    Comparison,
    Recalibration,
    RetrainingSchedule,
    TrainingRun,
)
from classifier.training.reviewed_findings import count_reviewed_findings
from classifier.training.tasks import compare, recalibrate, train
from ml.networks.finding_recipes import RETRAINING_RECIPES
from ml.networks.recipes import RECIPES, Recipe


class TrainingRefused(CallusError):
    message = "This training run cannot be started."


def request_training(
    *,
    user: User,
    dataset_version: DatasetVersion,
    recipe: str,
    start: str,
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> TrainingRun:
    """Put a training run into the queue. What "live" means is settled now. The recipe says which part it trains.

    A data set version that is still being audited is waited for.

    Raises:
        TrainingRefused, NotAllowedNow: with a sentence for the person.
    """
    if dataset_version.state in (DatasetVersion.State.FAILED, DatasetVersion.State.CANCELED):
        raise NotAllowedNow(f"{dataset_version} could not be made, so no run can train on it.")
    _check_choice("recipe", recipe, [*RECIPES, *RETRAINING_RECIPES], TrainingRefused)
    _check_choice("start", start, TrainingRun.Start.values, TrainingRefused)
    is_finding = recipe in RETRAINING_RECIPES
    _check_labels(dataset_version, is_finding)
    if (is_finding or RECIPES[recipe].l2) and (epochs is not None or batch_size is not None):
        field = "epochs" if epochs is not None else "batch_size"
        kept = "has its own epochs and batch size" if is_finding else "trains without epochs and batches"
        raise TrainingRefused(f"The recipe {recipe} {kept}. Leave both empty.", field=field)
    _check_range("epochs", epochs, 1, MAX_EPOCHS, TrainingRefused)
    _check_range("batch_size", batch_size, 1, MAX_BATCH_SIZE, TrainingRefused)
    _check_range("seed", seed, 0, MAX_SEED, TrainingRefused)
    run = TrainingRun(
        dataset_version=dataset_version,
        recipe=recipe,
        start=start,
        start_version=_start_of_finding(start) if is_finding else _start_version(RECIPES[recipe], start),
        epochs_asked=epochs,
        batch_size=batch_size,
        seed=seed,
        created_by=user,
    )
    with transaction.atomic():
        run.save(force_insert=True)
        AuditEntry.objects.record(
            actor=user,
            action="training requested",
            about=run,
            data_set=dataset_version.pk,
            recipe=recipe,
            start=str(run.start_version or start),
        )
        send_on_commit(train, run.pk)
    return run


def _check_choice(field: str, value: str, known: Iterable[str], refusal: type[CallusError]) -> None:
    names = list(known)
    if value not in names:
        raise refusal(f"The {field} must be one of {', '.join(names)}.", field=field)


def _check_range(
    field: str, value: int | None, lowest: int, highest: int, refusal: type[CallusError]
) -> None:
    if value is not None and not lowest <= value <= highest:
        name = field.replace("_", " ")
        raise refusal(f"The value for {name} must be between {lowest:,} and {highest:,}.", field=field)


def fits(recipe: Recipe, version: ModelVersion) -> bool:
    """Whether a run of the recipe can start from this version's weights: they are of the same network."""
    return bool(version.card.get("architecture") == recipe.architecture)


def _check_labels(dataset: DatasetVersion, is_finding: bool) -> None:
    """Raises: TrainingRefused: a data set that is ready lacks what a run of this part is trained on."""
    if dataset.state != DatasetVersion.State.SUCCEEDED:
        return
    if is_finding and not dataset.findings:
        raise TrainingRefused(
            f"{dataset} does not say which X-rays show a fracture, so the finding cannot be trained on it.",
            field="dataset_version",
        )
    if not is_finding and not dataset.classes:
        raise TrainingRefused(
            f"{dataset} has no X-rays with a kind of fracture, so the kind cannot be trained on it.",
            field="dataset_version",
        )


def _start_of_finding(start: str) -> ModelVersion:
    """Returns the live version, from which each run of the finding starts."""
    if start != TrainingRun.Start.LIVE:
        raise TrainingRefused("A run of the finding starts from the live model.", field="start")
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if not live.has_finding:
        raise NotAllowedNow(f"{live} does not say whether a bone is broken, so it cannot be retrained.")
    return live


def _start_version(recipe: Recipe, start: str) -> ModelVersion | None:
    if start == TrainingRun.Start.PRETRAINED:
        if not recipe.pretrained:
            raise TrainingRefused(
                f"The recipe {recipe.name} has no pretrained weights. Choose to start from scratch."
            )
        return None
    if start == TrainingRun.Start.SCRATCH:
        if recipe.pretrained:
            raise TrainingRefused(
                f"The recipe {recipe.name} cannot start from scratch: it needs pretrained weights."
            )
        return None
    if recipe.l2:
        raise TrainingRefused(
            f"The recipe {recipe.name} starts from the pretrained network only.", field="start"
        )
    shipped = ModelVersion.objects.filter(source=ModelVersion.Source.SHIPPED).newest_first().first()
    version = ModelVersion.objects.live() if start == TrainingRun.Start.LIVE else shipped
    if version is None:
        raise NotAllowedNow("No such model exists yet. Choose other starting weights.")
    if not fits(recipe, version):
        raise TrainingRefused(
            f"The recipe {recipe.name} cannot start from {version}, which is another network."
        )
    return version


def cancel_training(*, user: User, run: TrainingRun) -> None:
    """Stop a run. One that no worker has begun ends at once, else its worker ends it within seconds.

    Raises:
        NotAllowedNow: it is finished.
    """
    now = timezone.now()
    asked = {"cancel_requested_at": now, "canceled_by": user}
    with transaction.atomic():
        unfinished = TrainingRun.objects.filter(id=run.pk).unfinished()
        not_begun = unfinished.filter(state="queued", started_at=None)
        ended = not_begun.update(state=TrainingRun.State.CANCELED, finished_at=now, **asked)
        # What a worker left behind is cleaned up by a worker: the message wakes one.
        if not ended and not unfinished.filter(cancel_requested_at=None).update(send_at=now, **asked):
            raise NotAllowedNow(f"{run} has finished or is already being canceled.")
        AuditEntry.objects.record(actor=user, action="training canceled", about=run)


def request_comparison(*, user: User, candidate: ModelVersion) -> Comparison:
    """Ask for a comparison with the live model, on the largest frozen test set that both can be judged on.

    One that is under way is not started twice.

    Raises:
        NotAllowedNow, ModelUnavailable: with a sentence for the person.
    """
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if candidate == live:
        raise NotAllowedNow(f"{candidate} is live; there is nothing to compare it with.")
    if not DatasetVersion.objects.succeeded().exists():
        raise NotAllowedNow("There is no data set with test images for the comparison. Create one first.")
    under_way = Comparison.objects.unfinished().filter(candidate=candidate, live=live)
    if known := under_way.first():
        return known
    try:
        with transaction.atomic():
            comparison = Comparison.objects.create(candidate=candidate, live=live, created_by=user)
            AuditEntry.objects.record(actor=user, action="comparison requested", about=comparison)
            send_on_commit(compare, comparison.pk)
    except IntegrityError:
        # Another request was first.
        if known := under_way.first():
            return known
        raise
    return comparison


def request_recalibration(*, user: User) -> Recalibration:
    """Queue a recalibration of the live model's finding. One that is under way is not started twice.

    Raises:
        NotAllowedNow, ModelUnavailable: with a sentence for the person.
    """
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if not live.has_finding:
        raise NotAllowedNow(f"{live} does not say whether a bone is broken, so it cannot be recalibrated.")
    under_way = Recalibration.objects.unfinished().filter(start_version=live)
    if known := under_way.first():
        return known
    reviewed = count_reviewed_findings()
    if reviewed.missing:
        raise NotAllowedNow(f"There are too few reviewed X-rays. Missing: {', '.join(reviewed.missing)}.")
    try:
        with transaction.atomic():
            recalibration = Recalibration.objects.create(start_version=live, created_by=user)
            AuditEntry.objects.record(
                actor=user,
                action="recalibration requested",
                about=recalibration,
                model_version=live.number,
                fractured=reviewed.num_fractured,
                unfractured=reviewed.num_unfractured,
            )
            send_on_commit(recalibrate, recalibration.pk)
    except IntegrityError:
        # Another request was first.
        if known := under_way.first():
            return known
        raise
    return recalibration


class ScheduleRefused(CallusError):
    message = "This schedule is not valid and was not saved."


def set_schedule(*, user: User, mode: str, recipe: str = "", num_reviews: int = 100) -> RetrainingSchedule:
    """Say when Callus retrains by itself. Months and new reviews count from now on.

    Raises:
        ScheduleRefused: with a sentence for the person.
    """
    _check_choice("mode", mode, RetrainingSchedule.Mode.values, ScheduleRefused)
    if mode != RetrainingSchedule.Mode.OFF:
        _check_choice("recipe", recipe, RECIPES, ScheduleRefused)
    _check_range("num_reviews", num_reviews, 1, MAX_REVIEWS, ScheduleRefused)
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

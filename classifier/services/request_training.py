from django.db import transaction

from classifier import tasks
from classifier.errors import CallusError, NotAllowedNow
from classifier.models import AuditEntry, DatasetVersion, ModelVersion, TrainingRun, User
from classifier.models.training_run import MAX_BATCH_SIZE, MAX_EPOCHS, MAX_SEED
from ml.recipes import RECIPES, Recipe


class TrainingRefused(CallusError):
    sentence = "This training run cannot be started."


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
    """Put a training run into the queue. What "live" means is settled now.

    A data set version that is still being audited is waited for.

    Raises:
        TrainingRefused, NotAllowedNow: with a sentence for the person.
    """
    if recipe not in RECIPES:
        raise TrainingRefused(f"A recipe is one of {', '.join(RECIPES)}.")
    if start not in TrainingRun.Start:
        raise TrainingRefused(f"A run starts from one of {', '.join(TrainingRun.Start.values)}.")
    if dataset_version.state in (DatasetVersion.State.FAILED, DatasetVersion.State.CANCELED):
        raise NotAllowedNow(f"{dataset_version} could not be made, so nothing can be learned from it.")
    for name, value, lowest, highest in (
        ("epochs", epochs, 1, MAX_EPOCHS),
        ("batch size", batch_size, 1, MAX_BATCH_SIZE),
        ("seed", seed, 0, MAX_SEED),
    ):
        if value is not None and not lowest <= value <= highest:
            raise TrainingRefused(f"The {name} must lie between {lowest} and {highest:,}.")
    run = TrainingRun(
        dataset_version=dataset_version,
        recipe=recipe,
        start=start,
        start_version=_start_version(RECIPES[recipe], start),
        epochs_asked=epochs,
        batch_size=batch_size,
        seed=seed,
        created_by=user,
    )
    with transaction.atomic():
        run.save(force_insert=True)
        AuditEntry.objects.record(
            actor=user,
            action="training asked for",
            about=run,
            data_set=dataset_version.pk,
            recipe=recipe,
            start=str(run.start_version or start),
        )
        tasks.send_on_commit(tasks.train, run.pk)
    return run


def fits(recipe: Recipe, version: ModelVersion) -> bool:
    """Whether a run of the recipe can start from this version's weights: they are of the same network."""
    return bool(version.card.get("architecture") == recipe.architecture)


def _start_version(recipe: Recipe, start: str) -> ModelVersion | None:
    if start == TrainingRun.Start.PRETRAINED:
        if not recipe.pretrained:
            raise TrainingRefused(
                f"The recipe {recipe.name} starts from nothing: no pretrained network fits it."
            )
        return None
    if start == TrainingRun.Start.SCRATCH:
        if recipe.pretrained:
            raise TrainingRefused(f"The recipe {recipe.name} cannot start from nothing: it needs weights.")
        return None
    shipped = ModelVersion.objects.filter(source=ModelVersion.Source.SHIPPED).newest_first().first()
    version = ModelVersion.objects.live() if start == TrainingRun.Start.LIVE else shipped
    if version is None:
        raise NotAllowedNow("There is no such model to start from yet.")
    if not fits(recipe, version):
        raise TrainingRefused(
            f"The recipe {recipe.name} cannot start from {version}, which is another network."
        )
    return version

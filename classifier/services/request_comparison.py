from django.db import transaction

from classifier import tasks
from classifier.errors import ModelUnavailable, NotAllowedNow
from classifier.models import AuditEntry, Comparison, DatasetVersion, ModelVersion, User


def request_comparison(
    *, user: User, candidate: ModelVersion, dataset_version: DatasetVersion | None = None
) -> Comparison:
    """Ask for a comparison with the live model, on the test images of the candidate's data set version.

    A model that was not trained here is measured on the newest version. One that is under way is not started twice.

    Raises:
        NotAllowedNow, ModelUnavailable: with a sentence for the person.
    """
    live = ModelVersion.objects.live()
    if live is None:
        raise ModelUnavailable()
    if candidate == live:
        raise NotAllowedNow(f"{candidate} is live; there is nothing to compare it with.")
    run = candidate.training_run
    dataset = dataset_version or (run.dataset_version if run else DatasetVersion.objects.newest())
    if dataset is None or dataset.state != DatasetVersion.State.SUCCEEDED:
        raise NotAllowedNow("There is no data set version with test images to compare them on.")
    under_way = Comparison.objects.unfinished().filter(
        candidate=candidate, live=live, dataset_version=dataset
    )
    if known := under_way.first():
        return known
    with transaction.atomic():
        comparison = Comparison.objects.create(
            candidate=candidate, live=live, dataset_version=dataset, created_by=user
        )
        AuditEntry.objects.record(
            actor=user, action="comparison asked for", about=comparison, data_set=dataset.pk
        )
        tasks.send_on_commit(tasks.compare, comparison.pk)
    return comparison

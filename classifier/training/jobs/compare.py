"""A queued comparison -> a verdict on a candidate and the version that was live."""

from pathlib import Path

from django.conf import settings
from django.db import transaction

from classifier.core.jobs import run_claimed
from classifier.core.leases import Lease
from classifier.registry import bundles
from classifier.training.jobs.paired_comparison import Candidate, compare
from classifier.training.jobs.test_sets import TrainingImages
from classifier.training.models import Comparison
from ml.data.manifests import DatasetRefused
from ml.serve.bundle import BundleError


def run_comparison(comparison_id: int) -> None:
    """Do one queued comparison, or nothing when it is finished, held by another worker, or gone."""
    related = Comparison.objects.select_related("candidate", "live", "created_by")
    comparison = related.claim(comparison_id)
    if comparison is None:
        return
    folder: Path = settings.DATA_DIR / "comparisons" / str(comparison.pk)
    run_claimed(
        comparison,
        lambda lease: _compare(comparison, lease, folder),
        refusals=(DatasetRefused, BundleError),
        folder=folder,
    )


def _compare(comparison: Comparison, lease: Lease, folder: Path) -> None:
    candidate = Candidate(bundles.fetch(comparison.candidate), TrainingImages.of(comparison.candidate))
    live = bundles.fetch(comparison.live)
    folder.mkdir(parents=True, exist_ok=True)
    fields = compare(candidate, live, comparison.live, work=folder, lease=lease)
    with transaction.atomic():
        lease.finish(Comparison.State.SUCCEEDED, **fields)
        comparison.refresh_from_db()
        comparison.report(f"{comparison}: {comparison.outcome}")

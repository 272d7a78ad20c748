import logging
import shutil
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction

from classifier.core.clock import database_now
from classifier.core.jobs import Hold, HoldLost, Stopping
from classifier.core.ml_process import CommandFailed, WorkFolderBusy
from classifier.core.models import AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.datasets import archives
from classifier.registry import bundles
from classifier.training.jobs.fair_test import FairTest, Origin, compare
from classifier.training.models import Comparison
from ml.data.manifests import DatasetRefused
from ml.serve.bundle import BundleError

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=10)


def run_comparison(comparison_id: int) -> None:
    """Work off one queued comparison, or do nothing when it is finished, held by another worker, or gone."""
    lease_until = database_now() + timedelta(seconds=settings.LEASE_SECONDS)
    waiting = Comparison.objects.select_related("candidate", "live", "dataset_version", "created_by")
    comparison = waiting.claim(comparison_id, lease_until=lease_until)
    if comparison is None:
        return
    hold = Hold(comparison)
    folder: Path = settings.DATA_DIR / "comparisons" / str(comparison.pk)
    try:
        _compare(comparison, hold, folder)
    except (CommandFailed, DatasetRefused, BundleError) as refused:
        with transaction.atomic():
            hold.fail(str(refused))
            conclude_failure(comparison, str(refused))
    except HoldLost:
        log.warning("The comparison of %s is not ours any more", comparison)
        return
    except (Stopping, WorkFolderBusy) as reason:
        log.warning("The comparison of %s is handed back: %s", comparison, reason)
        hold.hand_back()
    except Exception:
        log.exception("The comparison of %s: attempt %s failed", comparison, comparison.attempts)
        hold.try_later(RETRY_AFTER)
    shutil.rmtree(folder, ignore_errors=True)


def conclude_failure(comparison: Comparison, sentence: str) -> None:
    conclude(comparison, f"{comparison}: the comparison failed. {sentence}")


def conclude(comparison: Comparison, text: str) -> None:
    AuditEntry.objects.record(actor=None, action="compared", about=comparison, outcome=text)
    notify(comparison.created_by, text, Notification.Subject.COMPARISON, comparison.pk)


def _compare(comparison: Comparison, hold: Hold, folder: Path) -> None:
    dataset = comparison.dataset_version
    manifest = archives.unpack(dataset, hold.counts("fetch", dataset.num_images))
    test = FairTest.make(manifest, [Origin.of(comparison.candidate), Origin.of(comparison.live)])
    candidate, live = bundles.fetch(comparison.candidate).path, bundles.fetch(comparison.live).path
    folder.mkdir(parents=True, exist_ok=True)
    fields = compare(candidate, live, test, work=folder, hold=hold)
    with transaction.atomic():
        hold.finish(Comparison.State.SUCCEEDED, **fields)
        verdict = Comparison.Verdict(fields["verdict"]).label
        conclude(comparison, f"{comparison}: {verdict}, on {fields['num_images']} test images.")

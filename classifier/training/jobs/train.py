"""A queued training run -> a numbered model version with its report, compared with the live one."""

import logging
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import OperationalError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from classifier.core.clock import database_now
from classifier.core.jobs import Hold, HoldLost, Stopping, watch
from classifier.core.ml_process import CommandDied, CommandFailed, MlProcess, WorkFolderBusy, read_json
from classifier.core.models import MAX_ATTEMPTS, AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.jobs.fair_test import FairTest, Origin, compare
from classifier.training.models import Comparison, TrainingRun
from ml.data.manifests import DatasetRefused, Manifest
from ml.serve.bundle import Bundle, BundleError, open_bundle

log = logging.getLogger(__name__)
RETRY_AFTER = timedelta(seconds=10)
STORING_TAKES_AT_MOST = timedelta(minutes=30)
MAX_LOG = 20_000


class CancelAsked(Exception):
    """Somebody canceled the run."""


def run_training(run_id: int) -> None:
    """Work off one queued run, or do nothing when it is finished, held by another worker, or not ready.

    Whatever ends this process, the next attempt goes on from the last epoch in the run's folder.
    """
    waiting = TrainingRun.objects.select_related("dataset_version", "start_version", "created_by")
    known = waiting.filter(id=run_id).first()
    if known is None or known.dataset_version.state != DatasetVersion.State.SUCCEEDED:
        return
    run = waiting.claim(run_id, lease_until=database_now() + timedelta(seconds=settings.LEASE_SECONDS))
    if run is None:
        return
    hold = Hold(run)
    folder = work_folder(run)
    _remove_leftovers()
    try:
        _run(run, hold, folder)
    except CancelAsked:
        cancel(run, hold)
    except (CommandFailed, DatasetRefused, BundleError) as refused:
        fail(run, hold, str(refused))
    except HoldLost:
        # Its successor works in the folder.
        log.warning("%s is not ours any more", run)
        return
    except (Stopping, WorkFolderBusy) as reason:
        log.warning("%s is handed back: %s", run, reason)
        hold.hand_back()
        return
    except Exception as error:
        log.exception("%s: attempt %s failed", run, run.attempts)
        pause = timedelta(0) if isinstance(error, CommandDied) else RETRY_AFTER
        hold.try_later(pause)
        return
    shutil.rmtree(folder, ignore_errors=True)


def work_folder(run: TrainingRun) -> Path:
    folder: Path = settings.DATA_DIR / "runs" / str(run.pk)
    return folder


def fail(run: TrainingRun, hold: Hold, sentence: str) -> None:
    with transaction.atomic():
        hold.fail(sentence)
        conclude_failure(run, sentence)


def conclude_failure(run: TrainingRun, sentence: str) -> None:
    AuditEntry.objects.record(actor=None, action="training failed", about=run, error=sentence)
    notify(run.created_by, f"{run} failed. {sentence}", Notification.Subject.TRAINING_RUN, run.pk)


def cancel(run: TrainingRun, hold: Hold) -> None:
    with transaction.atomic():
        hold.finish(TrainingRun.State.CANCELED, phase="", seconds_left=None)
        AuditEntry.objects.record(actor=None, action="training stopped", about=run)


def _remove_leftovers() -> None:
    """The folders on this host of runs that were given up while no worker held them."""
    unfinished = {str(run_id) for run_id in TrainingRun.objects.unfinished().values_list("id", flat=True)}
    for folder in (settings.DATA_DIR / "runs").glob("*"):
        if folder.name not in unfinished:
            shutil.rmtree(folder, ignore_errors=True)


def _run(run: TrainingRun, hold: Hold, folder: Path) -> None:
    _look_for_cancel(run)()
    manifest = archives.unpack(run.dataset_version, hold.counts("fetch", run.dataset_version.num_images))
    bundle = _train(run, hold, folder, manifest)
    report = _evaluate(run, hold, folder, manifest, bundle)
    comparison = _compare_with_live(run, hold, folder, manifest)
    hold.keep(now=True, lease=STORING_TAKES_AT_MOST, phase="store")
    archive = bundles.store(bundle)
    with transaction.atomic():
        same_as = ModelVersion.objects.filter(checksum=bundle.checksum).first()
        version = same_as or _make_version(run, bundle, archive, report)
        if comparison is not None and comparison.live != version:
            comparison.candidate = version
            comparison.save()
        made = {"same_as": same_as} if same_as else {"trained_version": version}
        hold.finish(TrainingRun.State.SUCCEEDED, phase="", seconds_left=0, **made)
        outcome = f"gave {version} again, bit for bit" if same_as else f"made {version}"
        AuditEntry.objects.record(actor=None, action="training finished", about=run, outcome=outcome)
        notify(run.created_by, f"{run} {outcome}.", Notification.Subject.TRAINING_RUN, run.pk)


def _train(run: TrainingRun, hold: Hold, folder: Path, manifest: Manifest) -> Bundle:
    out, table = folder / "bundle", folder / "manifest.csv"
    manifest.write(table)
    if out.exists():
        return open_bundle(out)  # Finished by an earlier attempt: it was renamed into place as the last step.
    command: list[str | Path] = ["train", table, "--images", manifest.root, "--recipe", run.recipe]
    command += ["--out", out, "--work", folder / "work", "--seed", str(run.seed), "--jsonl"]
    command += ["--answers", folder / "answers.npz"]
    if run.start_version is not None:
        command += ["--start", bundles.fetch(run.start_version).path]
    if run.epochs_asked:
        command += ["--epochs", str(run.epochs_asked)]
    if run.batch_size:
        command += ["--batch-size", str(run.batch_size)]
    with MlProcess(command, work=folder) as process:
        watch(process, hold, phase="start", take=_take_event(run, process), look=_look_for_cancel(run))
    return open_bundle(out)


def _evaluate(
    run: TrainingRun, hold: Hold, folder: Path, manifest: Manifest, bundle: Bundle
) -> dict[str, Any]:
    out = folder / "report"
    command: list[str | Path] = ["evaluate", bundle.path, folder / "manifest.csv"]
    command += ["--images", manifest.root, "--out", out, "--jsonl"]
    # Missing when the process ended between the bundle and its answers.
    if (folder / "answers.npz").exists():
        command += ["--answers", folder / "answers.npz"]
    with MlProcess(command, work=folder) as process:
        watch(process, hold, phase="evaluate", take=_take_steps, look=_look_for_cancel(run))
    report: dict[str, Any] = read_json((out / "report.json").read_text(encoding="utf-8"))
    return report


def _compare_with_live(run: TrainingRun, hold: Hold, folder: Path, manifest: Manifest) -> Comparison | None:
    """Not yet saved, as its candidate is no version yet. None while no model is live."""
    live = ModelVersion.objects.live()
    if live is None:
        return None
    comparison = Comparison(
        live=live, dataset_version=run.dataset_version, created_by=run.created_by, finished_at=timezone.now()
    )
    try:
        test = FairTest.make(manifest, [Origin.of_run(run), Origin.of(live)])
        fields = compare(
            folder / "report" / "answers.npz", bundles.fetch(live).path, test, work=folder, hold=hold
        )
    except (DatasetRefused, CommandFailed, BundleError) as refused:
        # The model is made all the same; who wants to promote it is told why the two were not compared.
        fields = {"state": Comparison.State.FAILED, "error": str(refused)[:500]}
    for name, value in {"state": Comparison.State.SUCCEEDED, **fields}.items():
        setattr(comparison, name, value)
    return comparison


def _make_version(run: TrainingRun, bundle: Bundle, archive: str, report: dict[str, Any]) -> ModelVersion:
    return ModelVersion.objects.create(
        number=ModelVersion.objects.next_number(),
        checksum=bundle.checksum,
        archive=archive,
        card=bundle.card,
        source=ModelVersion.Source.TRAINED,
        created_by=run.created_by,
        code_version=settings.VERSION,
        report=report,
    )


def _take_steps(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("phase", "step", "steps", "seconds_left")}


def _take_event(run: TrainingRun, process: MlProcess) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What an event of `python -m ml train` changes in the row."""
    history: list[dict[str, Any]] = [*run.history]

    def take(event: dict[str, Any]) -> dict[str, Any]:
        fields = _take_steps(event)
        metrics = {name: value for name, value in event["metrics"].items() if value is not None}
        if metrics:
            fields |= {"epoch": event["epoch"], "epochs": event["epochs"]}
        key = event["phase"], event["epoch"]
        is_known = key in {(entry["phase"], entry["epoch"]) for entry in history}
        if metrics and event["step"] == event["steps"] and not is_known:
            history.append({"phase": event["phase"], "epoch": event["epoch"], "metrics": metrics})
            figures = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
            process.log.append(f"{event['phase']} {event['epoch']}/{event['epochs']}  {figures}")
            fields |= {"history": history, "last_attempt": F("attempts") + MAX_ATTEMPTS}
        return {**fields, "log_tail": "\n".join(process.log)[-MAX_LOG:]}

    return take


def _look_for_cancel(run: TrainingRun) -> Callable[[], None]:
    asked = TrainingRun.objects.filter(id=run.pk, cancel_requested_at__isnull=False)

    def look() -> None:
        try:
            is_asked = asked.exists()
        except OperationalError:
            # As in Hold.keep: a database that restarts is asked again in a second.
            close_old_connections()
            return
        if is_asked:
            raise CancelAsked

    return look

"""A queued training run -> a numbered model version with its report, compared with the live one."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import OperationalError, close_old_connections, transaction
from django.db.models import F
from django.utils import timezone

from classifier.core.jobs import run_claimed, watch
from classifier.core.leases import Lease
from classifier.core.ml_process import CommandFailed, MlProcess, read_json
from classifier.core.models import AuditEntry
from classifier.core.queued_work import MAX_ATTEMPTS
from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.registry import bundles
from classifier.registry.models import ModelVersion
from classifier.training.jobs.paired_comparison import Candidate, compare
from classifier.training.jobs.test_sets import TrainingImages
from classifier.training.models import Comparison, TrainingRun
from ml.data.manifests import DatasetRefused, Manifest
from ml.serve.bundle import Bundle, BundleError, combine_bundles, open_bundle

MAX_LOG = 20_000


class CancelRequested(Exception):
    """A user requested to cancel the run."""


def run_training(run_id: int) -> None:
    """Do one queued run, or nothing when it is finished, held by another worker, or not ready.

    However this process ends, the next attempt continues after the last epoch in the run's folder.
    """
    related = TrainingRun.objects.select_related("dataset_version", "start_version", "created_by")
    known = related.filter(id=run_id).first()
    if known is None or known.dataset_version.state != DatasetVersion.State.SUCCEEDED:
        return
    run = related.claim(run_id)
    if run is None:
        return
    folder = work_folder(run)
    _remove_leftovers()

    def train(lease: Lease) -> None:
        try:
            _run(run, lease, folder)
        except CancelRequested:
            with transaction.atomic():
                lease.finish(TrainingRun.State.CANCELED, phase="", seconds_left=None)
                run.conclude(TrainingRun.State.CANCELED)

    run_claimed(run, train, refusals=(DatasetRefused, BundleError), folder=folder, resumes=True)


def work_folder(run: TrainingRun) -> Path:
    folder: Path = settings.DATA_DIR / "runs" / str(run.pk)
    return folder


def _remove_leftovers() -> None:
    """The folders on this host of runs that were given up while no worker held them."""
    unfinished = {str(run_id) for run_id in TrainingRun.objects.unfinished().values_list("id", flat=True)}
    for folder in (settings.DATA_DIR / "runs").glob("*"):
        if folder.name not in unfinished:
            shutil.rmtree(folder, ignore_errors=True)


def _run(run: TrainingRun, lease: Lease, folder: Path) -> None:
    _cancel_check(run)()
    manifest = archives.unpack(
        run.dataset_version, lease.progress_callback("fetch", run.dataset_version.num_images)
    )
    live = ModelVersion.objects.live()
    live_bundle = bundles.fetch(live) if live else None
    if run.trains_finding:
        assert live and live_bundle  # noqa: S101 - a run of the finding started from a live model
        finding = _train_finding(run, lease, folder, manifest)
        report = live.report
        candidate = Candidate(
            combine_bundles(live_bundle, finding, folder / "version"), TrainingImages.of(live)
        )
    else:
        kinds = manifest.with_kinds()
        kind = _train(run, lease, folder, kinds)
        report = _evaluate(run, lease, folder, kinds, kind)
        candidate = Candidate(
            _with_finding_of(live_bundle, kind, folder / "version"),
            TrainingImages.of_run(run),
            folder / "report" / "answers.npz",
            run.dataset_version,
        )
    bundle = candidate.bundle
    comparison = None
    if live and live_bundle:
        comparison = _compare_with_live(run, lease, folder, candidate, live, live_bundle)
    lease.renew_for_storing(phase="store")
    archive = bundles.store(bundle)
    with transaction.atomic():
        same_as = ModelVersion.objects.filter(checksum=bundle.checksum).first()
        version = same_as or _make_version(run, bundle, archive, report)
        if comparison is not None and comparison.live != version:
            comparison.candidate = version
            comparison.save()
        made = {"same_as": same_as} if same_as else {"trained_version": version}
        lease.finish(TrainingRun.State.SUCCEEDED, phase="", seconds_left=0, **made)
        outcome = f"reproduced {version} exactly" if same_as else f"created {version}"
        AuditEntry.objects.record(actor=None, action="training finished", about=run, outcome=outcome)
        run.notify_creator(f"{run} {outcome}.")


def _train(run: TrainingRun, lease: Lease, folder: Path, manifest: Manifest) -> Bundle:
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
    _follow_training(run, lease, folder, command)
    return open_bundle(out)


def _train_finding(run: TrainingRun, lease: Lease, folder: Path, manifest: Manifest) -> Bundle:
    """Returns the bundle of the new finding."""
    assert run.start_version  # noqa: S101 - request_training chose the live version
    out, table = folder / "bundle", folder / "manifest.csv"
    manifest.write(table)
    if out.exists():
        return open_bundle(out)  # As in _train.
    command: list[str | Path] = ["train-finding", table, "--images", manifest.root, "--recipe", run.recipe]
    command += ["--start", bundles.fetch(run.start_version).path, "--seed", str(run.seed), "--jsonl"]
    command += ["--out", out, "--work", folder / "work"]
    _follow_training(run, lease, folder, command)
    return open_bundle(out)


def _follow_training(run: TrainingRun, lease: Lease, folder: Path, command: list[str | Path]) -> None:
    with MlProcess(command, work=folder) as process:
        watch(
            process,
            lease,
            phase="start",
            fields_of=_event_fields(run, process),
            check_canceled=_cancel_check(run),
        )


def _evaluate(
    run: TrainingRun, lease: Lease, folder: Path, manifest: Manifest, bundle: Bundle
) -> dict[str, Any]:
    out = folder / "report"
    command: list[str | Path] = ["evaluate", bundle.path, folder / "manifest.csv"]
    command += ["--images", manifest.root, "--out", out, "--jsonl"]
    # Missing when the process ended between the bundle and its answers.
    if (folder / "answers.npz").exists():
        command += ["--answers", folder / "answers.npz"]
    with MlProcess(command, work=folder) as process:
        watch(process, lease, phase="evaluate", fields_of=_step_fields, check_canceled=_cancel_check(run))
    report: dict[str, Any] = read_json((out / "report.json").read_text(encoding="utf-8"))
    return report


def _compare_with_live(
    run: TrainingRun,
    lease: Lease,
    folder: Path,
    candidate: Candidate,
    live: ModelVersion,
    live_bundle: Bundle,
) -> Comparison:
    """Returns a comparison that is not saved yet, because its candidate is not a version yet."""
    comparison = Comparison(live=live, created_by=run.created_by, finished_at=timezone.now())
    try:
        fields = compare(candidate, live_bundle, live, work=folder, lease=lease)
    except (DatasetRefused, CommandFailed, BundleError) as refused:
        # The model version is still created. Its promotion page shows why the comparison failed.
        fields = {"state": Comparison.State.FAILED, "error": str(refused)[:500]}
    for name, value in {"state": Comparison.State.SUCCEEDED, **fields}.items():
        setattr(comparison, name, value)
    return comparison


def _with_finding_of(live: Bundle | None, kind: Bundle, path: Path) -> Bundle:
    """Returns a bundle with the trained kind of fracture and the finding of the live model, if that has one."""
    return combine_bundles(kind, live.finding, path) if live and live.finding else kind


def _make_version(run: TrainingRun, bundle: Bundle, archive: str, report: dict[str, Any]) -> ModelVersion:
    return ModelVersion.objects.create(
        number=ModelVersion.objects.next_number(),
        checksum=bundle.checksum,
        archive=archive,
        card=bundle.full_card,
        source=ModelVersion.Source.TRAINED,
        created_by=run.created_by,
        code_version=settings.VERSION,
        report=report,
    )


def _step_fields(event: dict[str, Any]) -> dict[str, Any]:
    return {name: event[name] for name in ("phase", "step", "steps", "seconds_left")}


def _event_fields(run: TrainingRun, process: MlProcess) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Returns a function that returns the fields of the row that an event of `python -m ml train` changes."""
    history: list[dict[str, Any]] = [*run.history]

    def fields_of(event: dict[str, Any]) -> dict[str, Any]:
        fields = _step_fields(event)
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

    return fields_of


def _cancel_check(run: TrainingRun) -> Callable[[], None]:
    """Returns a function that raises CancelRequested once a user has requested to cancel the run."""
    requested = TrainingRun.objects.filter(id=run.pk, cancel_requested_at__isnull=False)

    def check_canceled() -> None:
        try:
            is_requested = requested.exists()
        except OperationalError:
            # As in Lease.renew: the next check, within a second, tries again while the database restarts.
            close_old_connections()
            return
        if is_requested:
            raise CancelRequested

    return check_canceled

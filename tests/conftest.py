import functools
import io
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from PIL import Image
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import receive_radiograph
from classifier.registry.models import ModelVersion, Promotion
from classifier.registry.services import register_shipped_model
from ml.classes import FRACTURE_CLASSES
from tests.ml.drawings import draw_bone
from tests.people import api_client, signed_in
from tests.servers import Portal

ROOT = Path(__file__).resolve().parent.parent
PASSWORD = "correct-horse-battery"


# Marked `slow`: folders and files whose tests start processes, train a model, drive a browser, ask every address, or
# take more than a quarter of a second of processor time each.
SLOW = (
    "benchmarks",
    "browser",
    "classifier/core/test_api_schema.py",
    "classifier/core/test_ml_process.py",
    "classifier/datasets/test_datasets.py",
    "classifier/datasets/test_dicom_in_zips.py",
    "classifier/datasets/test_zip_attacks.py",
    "classifier/radiographs/test_broker_down.py",
    "classifier/radiographs/test_fairness.py",
    "classifier/radiographs/test_many_rows.py",
    "classifier/radiographs/test_patient_data.py",
    "classifier/radiographs/test_races.py",
    "classifier/radiographs/test_run_prediction.py",
    "classifier/radiographs/test_storage_full.py",
    "classifier/radiographs/test_text_in_images.py",
    "classifier/reviews/test_worklist_rank.py",
    "classifier/test_api_docs.py",
    "classifier/training/test_finding_run.py",
    "classifier/training/test_recalibration_run.py",
    "classifier/training/test_training.py",
    "faults",
    "fuzz",
    "ml/cli",
    "ml/data/test_audit.py",
    "ml/data/test_audit_with_findings.py",
    "ml/data/test_burned_in_text.py",
    "ml/data/test_duplicates.py",
    "ml/data/test_intake_cases.py",
    "ml/data/test_jpeg_scans.py",
    "ml/data/test_sandbox.py",
    "ml/evaluate/test_evaluation.py",
    "ml/evaluate/test_finding.py",
    "ml/serve/test_export.py",
    "ml/serve/test_finding.py",
    "ml/serve/test_finding_of_real_x_rays.py",
    "ml/serve/test_import_h5.py",
    "ml/serve/test_inference.py",
    "ml/train",
    "portal/operations/test_backup.py",
    "portal/operations/test_damaged_backups.py",
    "portal/server/test_slow_clients.py",
    "portal/test_damaged_database.py",
    "portal/test_data_folder.py",
    "portal/test_embedded_broker.py",
    "portal/test_faults_on_pages.py",
    "security",
    "test_architecture.py",
    "test_compose.py",
    "test_dev.py",
    "test_package.py",
    "test_settings.py",
)
SLOW_PATHS = tuple(Path(__file__).parent / name for name in SLOW)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Does not import slow tests that are not wanted."""
    return True if config.option.markexpr == "not slow" and collection_path in SLOW_PATHS else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if any(item.path.is_relative_to(path) for path in SLOW_PATHS):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session", autouse=True)
def prepared_portal(run_folder: Path) -> None:
    """Where the first portal that a test starts leaves its database for the others, also of other processes."""
    Portal.prepared = run_folder / "prepared"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the portals said that it talked to."""
    report = yield
    if report.failed:
        for log in Portal.logs:
            if log.exists() and log.stat().st_mtime >= call.start:
                report.sections.append(
                    (f"Console of {log.parent}", log.read_text(errors="replace")[-20_000:])
                )
    return report


@pytest.fixture
def shared() -> Path:
    """Real X-rays for the tests that want them; they are no part of the project."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} with real X-rays is not here")
    return folder


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    """Where the default storage keeps its files: a folder for this test alone."""
    folder = tmp_path / "files"
    default = settings.STORAGES["default"]
    options = {**default["OPTIONS"], "location": folder}
    settings.STORAGES = {**settings.STORAGES, "default": {**default, "OPTIONS": options}}
    return folder


@pytest.fixture
def no_failed_attempts() -> None:
    """Sign-in counts them in the cache, which outlives a test."""
    cache.clear()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.org", PASSWORD)


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", "bob@example.org", PASSWORD)


@pytest.fixture
def model(db: None) -> ModelVersion:
    """A live model version, for tests in which nothing is predicted."""
    version = ModelVersion.objects.create(
        number=1,
        checksum="0" * 64,
        card={"classes": list(FRACTURE_CLASSES)},
        source=ModelVersion.Source.SHIPPED,
    )
    Promotion.objects.create(model_version=version)
    return version


@pytest.fixture
def live_model(db: None) -> ModelVersion:
    """The shipped model, live."""
    return register_shipped_model()


def xray(name: str = "wrist.png", kind: str = "PNG", seed: int = 0) -> SimpleUploadedFile:
    return SimpleUploadedFile(name, drawn_xray(kind, seed))


@functools.cache
def drawn_xray(kind: str, seed: int) -> bytes:
    content = io.BytesIO()
    Image.fromarray(draw_bone(seed=seed)).save(content, kind)
    return content.getvalue()


@pytest.fixture
def as_alice(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def as_bob(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def alice_api(alice: User) -> APIClient:
    return api_client(alice)


@pytest.fixture
def bob_api(bob: User) -> APIClient:
    return api_client(bob)


@pytest.fixture
def radiograph(alice: User, model: ModelVersion) -> Radiograph:
    """An X-ray of Alice's that waits for its answer."""
    return receive_radiograph(owner=alice, upload=xray())


@pytest.fixture
def stored(files: Path) -> Callable[[], list[str]]:
    """Lists the files that are kept of X-rays."""
    return lambda: sorted(
        path.relative_to(files).as_posix()
        for folder in ("radiographs", "thumbnails")
        for path in (files / folder).rglob("*")
        if path.is_file()
    )

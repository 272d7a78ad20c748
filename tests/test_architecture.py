"""What may import what (the contracts are in pyproject.toml), and which modules two real processes load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT

PACKAGES = ("ml", "classifier", "portal")
MOST_LINES = 400

# Modules with imports inside functions. tasks.py keeps the jobs out of the web process, apps.py and celery.py run
# before the models and the settings can be imported.
DEFERRED_IMPORTS = {
    "classifier.datasets.apps",
    "classifier.datasets.tasks",
    "classifier.radiographs.tasks",
    "classifier.training.tasks",
    "portal.accounts.tasks",
    "portal.celery",
    "portal.operations.tasks",
}
# Packages that decode DICOM and can be crashed by a file: only ml.data.decoder_process loads them.
DECODERS = {"pydicom", "gdcm", "openjpeg", "pylibjpeg"}
HEAVY = {"tensorflow", "keras", "ai_edge_litert", "openvino", "matplotlib", "pandas", "sklearn"}
PREDICTION_JOB = "classifier.radiographs.jobs"


def modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if "migrations" not in path.parts:
                yield (
                    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
                    path,
                )


MODULES = dict(modules())


def test_imports_follow_the_contracts() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_stand_at_the_top() -> None:
    deferred = set()
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    if isinstance(node, ast.ImportFrom) and str(node.module).startswith(PACKAGES):
                        deferred.add(name)
    assert {name for name in deferred if not name.startswith("ml.")} == DEFERRED_IMPORTS


def test_collecting_the_tests_does_not_import_tensorflow() -> None:
    """Such an import would take seconds before each `pytest -k NAME`; tests.lazy_module avoids it."""
    code = (
        "import pytest, sys; pytest.main(['--collect-only', '-q', '-p', 'no:cacheprovider']); "
        "print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "tests.ml.train.test_training" in loaded
    assert loaded & {"tensorflow", "keras"} == set()


def test_messages_are_sent_in_one_place() -> None:
    senders = [
        name
        for name, path in MODULES.items()
        if any(call in path.read_text(encoding="utf-8") for call in (".delay(", ".delay_on_commit("))
    ]
    assert senders == ["classifier.core.broker_messages"]


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    ours = [*MODULES.values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    long = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ours}
    assert {path: lines for path, lines in long.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("process", ["portal.urls", "portal.wsgi", PREDICTION_JOB])
def test_what_a_process_loads(process: str) -> None:
    """Neither web nor prediction processes load TensorFlow or a DICOM decoder; web processes load no engine."""
    code = f"import django, sys; django.setup(); import {process}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "django" in loaded
    assert loaded & {"tensorflow", "keras"} == set()
    assert loaded & DECODERS == set()
    if process != PREDICTION_JOB:
        assert loaded & HEAVY == set()
        assert "ml.serve.inference" not in done.stdout.split()

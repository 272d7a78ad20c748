"""The three floors and what may import what, read from the source; and what two real processes load."""

import ast
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT

FLOORS = ("ml", "classifier", "portal")
MOST_LINES = 400

# Inside classifier, from the ground up: a module imports from its own row and the rows before it.
# What is not named here is a helper, which stands between the models and the jobs.
ROWS = [
    {"clock", "errors", "permissions"},
    {"models"},
    {"helpers"},
    {"jobs"},
    {"tasks"},
    {"services"},
    {"api", "admin", "apps", "checks", "management"},
]
ROW_OF = {name: number for number, row in enumerate(ROWS) for name in row}

# Imports inside functions: tasks.py keeps the jobs out of the web process; the others are Django's doing.
HIDDEN = {
    "classifier.tasks",
    "classifier.models.radiograph",  # its predictions refer to it
    "portal.celery",  # the app is made before the settings can be read
}
# What reads DICOM, and may be brought down by a file: only ml.reader loads it.
DECODERS = {"pydicom", "gdcm", "openjpeg", "pylibjpeg"}
HEAVY = ("tensorflow", "keras", "ai_edge_litert", "openvino", "matplotlib", "pandas", "sklearn")


def modules() -> Iterator[tuple[str, Path]]:
    for floor in FLOORS:
        for path in sorted((ROOT / floor).rglob("*.py")):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), path


MODULES = {name: path for name, path in modules() if ".migrations." not in name}


def imports(name: str) -> Iterator[tuple[str, bool]]:
    """What a module imports of ours, and whether it does so inside a function."""
    path = MODULES[name]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        hidden = id(node) in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, hidden) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                target = f"{base}.{alias.name}"
                if is_ours(base):
                    yield (target if target in MODULES else base), hidden


def is_ours(name: str) -> bool:
    return name.partition(".")[0] in FLOORS


def row_of(name: str) -> int:
    _, part, *_ = [*name.split("."), "helpers"]
    return ROW_OF.get(part, ROW_OF["helpers"])


def wrong(is_allowed: Callable[[str, str], bool], among: Iterable[str] = MODULES) -> list[str]:
    """The imports that are not allowed."""
    return [
        f"{name} imports {imported}"
        for name in among
        for imported, _ in imports(name)
        if not is_allowed(name, imported)
    ]


def test_imports_go_down_only() -> None:
    def floor(name: str) -> int:
        return FLOORS.index(name.partition(".")[0])

    assert wrong(lambda name, imported: floor(imported) <= floor(name)) == []


def test_inside_classifier_each_row_leans_on_those_below() -> None:
    def leans_down(name: str, imported: str) -> bool:
        return imported.startswith("ml") or row_of(imported) <= row_of(name)

    assert wrong(leans_down, [name for name in MODULES if name.startswith("classifier.")]) == []


def test_the_api_and_the_admin_do_not_know_each_other() -> None:
    for one, other in (("classifier.api", "classifier.admin"), ("classifier.admin", "classifier.api")):
        among = [name for name in MODULES if name.startswith(one)]
        assert wrong(lambda name, imported, other=other: not imported.startswith(other), among) == []


def test_only_workers_know_the_jobs() -> None:
    others = [name for name in MODULES if not name.startswith(("classifier.jobs", "classifier.tasks"))]
    assert wrong(lambda name, imported: not imported.startswith("classifier.jobs"), others) == []
    for imported, hidden in imports("classifier.tasks"):
        assert hidden or not imported.startswith("classifier.jobs")


def test_imports_stand_at_the_top() -> None:
    hidden = {name for name in MODULES for _, is_hidden in imports(name) if is_hidden}
    assert {name for name in hidden if not name.startswith("ml.")} == HIDDEN


def test_messages_are_sent_in_one_place() -> None:
    senders = [
        name
        for name, path in MODULES.items()
        if any(call in path.read_text(encoding="utf-8") for call in (".delay(", ".delay_on_commit("))
    ]
    assert senders == ["classifier.tasks"]


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    ours = [*MODULES.values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    long = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ours}
    assert {path: lines for path, lines in long.items() if lines > MOST_LINES} == {}


@pytest.mark.parametrize("process", ["portal.urls", "portal.wsgi", "classifier.jobs.run_prediction"])
def test_what_a_process_loads(process: str) -> None:
    """Neither the web process nor the prediction worker ever loads TensorFlow or what reads DICOM; the web
    process no engine at all."""
    code = f"import django, sys; django.setup(); import {process}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "django" in loaded
    assert loaded & {"tensorflow", "keras"} == set()
    assert loaded & DECODERS == set()
    if process != "classifier.jobs.run_prediction":
        assert loaded & set(HEAVY) == set()
        assert "ml.inference" not in done.stdout.split()

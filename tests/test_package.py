"""The wheel, installed where nothing that only training needs is, and what a user does with it."""

import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import ml
from tests.client import Client, png
from tests.ml.drawings import draw_bone
from tests.servers import ROOT, Portal

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IN_WHEEL = ("ml", "classifier", "portal", "templates", "static", "pyproject.toml", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools writes into the folder that it builds."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in IN_WHEEL:
        if (ROOT / name).is_dir():
            without = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=without)
        else:
            shutil.copy(ROOT / name, source)
    offline = ["--no-deps", "--no-index", "--no-build-isolation"]
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", *offline, "--wheel-dir", str(built), str(source)]
    subprocess.run(pip, check=True)
    (file,) = built.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment that holds the wheel and the packages it requires.

    Those are links to the packages of this environment: nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    left_out = training_packages()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if entry.name not in left_out and entry.suffix != ".pth":
            (site_packages / entry.name).symlink_to(entry)
    python = str(folder / "bin/python")
    options = ["--python", python, "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([sys.executable, "-m", "pip", *options, str(wheel)], check=True)
    return folder / "bin"


def training_packages() -> set[str]:
    """What lies in the folder of packages for the extra `train`."""
    requirements = PROJECT["optional-dependencies"]["train"]
    names = {re.split("[><=;]", requirement)[0] for requirement in requirements}
    found = [one for one in importlib.metadata.distributions() if one.name.replace("_", "-") in names]
    entries = {file.parts[0] for one in found for file in one.files or [] if file.parts[0] != ".."}
    assert {"tensorflow", "keras", "matplotlib", "sklearn"} <= entries
    return entries


@pytest.fixture(scope="module")
def portal(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    """`callus up`, in a folder that is no checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    portal = Portal(folder / "var", program=[str(programs / "callus")], folder=folder)
    try:
        portal.start_up()
        yield portal
    finally:
        portal.stop()


def test_it_serves_pages_with_style_and_answers_x_rays(portal: Portal) -> None:
    with urllib.request.urlopen(f"{portal.url}/accounts/login/") as page:
        assert f"Callus {ml.__version__}" in page.read().decode()
    with urllib.request.urlopen(f"{portal.url}/static/callus.css") as style:
        assert style.headers["Content-Type"].startswith("text/css")

    portal.add_users("alice")
    alice = Client(portal.url, "alice")
    answer = alice.wait_for_answer(alice.upload(png(draw_bone()))["prediction"]["id"])
    assert answer["state"] == "succeeded", answer
    assert alice.get("schema/?format=json")["info"]["version"] == ml.__version__


def test_it_predicts_with_both_shipped_models(programs: Path, tmp_path: Path) -> None:
    (tmp_path / "bone.png").write_bytes(png(draw_bone()))
    command = [programs / "callus-ml", "predict", "bone.png", "--jsonl"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert {"finding", "marks", "kinds", "class", "probabilities"} <= answer.keys()


def test_training_without_tensorflow_is_refused_with_one_sentence(programs: Path, tmp_path: Path) -> None:
    command = [programs / "callus-ml", "train", "manifest.csv", "--images", ".", "--recipe", "top"]
    done = subprocess.run(
        [*command, "--out", "bundle"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    sentence = "This command needs tensorflow, which is not installed: pip install 'callus[train]'.\n"
    assert done.stderr == sentence


def test_the_version_is_the_same_everywhere(programs: Path, wheel: Path) -> None:
    done = subprocess.run([programs / "callus", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"Callus {ml.__version__}\n"
    assert wheel.name.startswith(f"callus-{ml.__version__}-")
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    assert newest is not None
    assert newest[1] == ml.__version__

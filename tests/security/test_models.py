"""No model brings code along, and nobody brings a model."""

from __future__ import annotations

import ast
import importlib.metadata
import io
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from classifier.core.models import User
from classifier.datasets.models import DatasetVersion
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion
from ml.__main__ import main
from ml.serve.bundle import SHIPPED, open_bundle
from tests.lazy_module import LazyModule
from tests.people import signed_in
from tests.servers import ROOT
from tests.uploads import send

keras = LazyModule("keras")
export = LazyModule("ml.serve.export")

# Fixed in these: CVE-2025-1550 in 3.9, -8747 and -9906 in 3.11, -9905 and -49655 in 3.11.3.
KERAS_WITHOUT_THEM = (3, 11, 3)
OPEN_DOORS = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch")


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def test_keras_is_pinned_above_the_ways_into_it_that_are_known() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        (pinned,) = re.findall(r"^keras==([\d.]+) ", (ROOT / name).read_text(), re.M)
        assert version(pinned) >= KERAS_WITHOUT_THEM
    assert version(importlib.metadata.version("keras")) >= KERAS_WITHOUT_THEM


def test_nothing_is_unpickled_and_no_model_is_loaded_without_safe_mode() -> None:
    found = []
    loads = 0
    for path in (path for floor in ("ml", "classifier", "portal") for path in (ROOT / floor).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = (
                    [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                )
                found += [f"{path}: {name}" for name in names if name.partition(".")[0] in OPEN_DOORS]
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("load_model"):
                loads += 1
                if "safe_mode=True" not in ast.unparse(node):
                    found.append(f"{path}: {ast.unparse(node)}")
            if (
                isinstance(node, ast.keyword)
                and node.arg == "allow_pickle"
                and ast.unparse(node) != "allow_pickle=False"
            ):
                found.append(f"{path}: {ast.unparse(node)}")
            if "unsafe_deserialization" in getattr(node, "attr", ""):
                found.append(f"{path}: {node.attr}")
    assert found == []
    assert loads > 0


def test_the_shipped_model_is_the_one_its_checksums_name_and_holds_no_code() -> None:
    bundle = open_bundle(SHIPPED)
    assert bundle.finding is not None
    for part in (bundle, bundle.finding):
        with zipfile.ZipFile(part.file("model.keras")) as model:
            assert sorted(model.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
            assert "Lambda" not in model.read("config.json").decode()
        export.load_keras(part.file("model.keras"))


@pytest.fixture
def with_code() -> keras.Model:
    """It would run on the machine of whoever loads it."""
    image = keras.Input((64, 64, 3))
    x = keras.layers.Lambda(lambda x: x * 0, output_shape=(64, 64, 3))(image)
    return keras.Model(image, keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(x)))


def test_a_model_with_code_is_refused(with_code: keras.Model, tmp_path: Path) -> None:
    with_code.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="safe_mode"):
        export.load_keras(tmp_path / "model.keras")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_importing_a_model_with_code_is_refused_in_a_sentence(
    with_code: keras.Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_code.save(tmp_path / "model.h5")
    arguments = [str(tmp_path / "model.h5"), "--out", str(tmp_path / "bundle"), "--classes", "A", "B", "C"]
    assert main(["import-h5", *arguments]) != 0
    assert "contains custom code" in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def bundle_zip(folder: str = "") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(SHIPPED.rglob("*")):
            archive.write(path, f"{folder}{path.relative_to(SHIPPED)}")
    return content.getvalue()


MODEL_FILES: dict[str, Any] = {
    "model.keras": lambda: (SHIPPED / "model.keras").read_bytes(),
    "serving.tflite.gz": lambda: (SHIPPED / "serving.tflite.gz").read_bytes(),
    "model.pkl": lambda: pickle.dumps(print),
    "bundle.zip": bundle_zip,
    "in-a-class.zip": lambda: bundle_zip("Spiral Fracture/"),
}


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_model_goes_in_at_no_door(
    alice_api: APIClient, alice: User, model: ModelVersion, files: Path, name: str
) -> None:
    alice.is_superuser = True
    alice.save()
    content = MODEL_FILES[name]()
    on_pages = signed_in(alice)

    def file() -> SimpleUploadedFile:
        return SimpleUploadedFile(name, content)

    answers = [
        send(alice_api, file()),
        on_pages.post("/", {"file": file()}),
        on_pages.post("/datasets/upload/", {"file": file()}),
        alice_api.post("/api/v1/dataset-versions/", {"file": file()}, format="multipart"),
    ]
    assert [answer.status_code for answer in answers] == [400] * 4
    assert (Radiograph.objects.count(), DatasetVersion.objects.count()) == (0, 0)
    assert ModelVersion.objects.count() == 1
    assert [path for path in files.rglob("*") if path.is_file()] == []

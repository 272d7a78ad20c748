"""Retraining of the finding: what changes in the bundle and what does not, and which data sets are refused."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.data.finding_labels import FindingLabels
from ml.data.manifests import NO_KIND, Item, Manifest, Split
from ml.serve.bundle import Bundle, open_bundle, write_bundle
from ml.serve.inference import LiteRTGraph
from ml.serve.preprocessing import preprocess
from tests.lazy_module import LazyModule
from tests.ml.drawings import draw_bone
from tests.ml.recalibration import recognising_bundle

finding_recipes = LazyModule("ml.networks.finding_recipes")
finding_retraining = LazyModule("ml.train.finding_retraining")
fitting = LazyModule("ml.train.fitting")
input_pipeline = LazyModule("ml.train.input_pipeline")

SPLITS: tuple[Split, ...] = ("train", "train", "validation", "test")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """32 drawn X-rays in groups of two, a broken and an unbroken bone; the fractures have a box."""
    root, items = tmp_path_factory.mktemp("retraining"), []
    (root / NO_KIND).mkdir()
    for number in range(32):
        broken = number % 2 == 1
        path = root / NO_KIND / f"{number}.png"
        Image.fromarray(draw_bone("Comminuted" if broken else "Whole", 100 + number)).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        labels = FindingLabels(broken, ((50, 90, 60, 40),) if broken else (), (False, True, False, False))
        split = SPLITS[number // 2 % 4]
        items.append(Item(f"{NO_KIND}/{number}.png", digest, 1, 1, NO_KIND, f"g{number // 2}", split, labels))
    return Manifest.of(root, items)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The shipped finding, which tells the drawings apart, and takes every picture for an X-ray."""
    finding = recognising_bundle(tmp_path_factory.mktemp("start") / "bundle").finding
    assert finding is not None
    return finding


@pytest.fixture(scope="module")
def retrained(manifest: Manifest, start: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("retrained")
    manifest.write(folder / "manifest.csv")
    arguments = ["train-finding", str(folder / "manifest.csv"), "--images", str(manifest.root)]
    arguments += ["--start", str(start.path), "--recipe", "tiny_tune", "--work", str(folder / "work")]
    assert main([*arguments, "--out", str(folder / "bundle"), "--jsonl"]) == 0
    return open_bundle(folder / "bundle")


def test_the_new_finding_has_its_own_calibration_and_figures_of_the_test_x_rays(
    retrained: Bundle, start: Bundle, manifest: Manifest
) -> None:
    card = retrained.card
    assert card["figures"]["held_out"]["all"]["n"] == card["data"]["held_out"]["images"] == 8
    assert card["data"]["learned_from"] == {"images": 16, "fractured": 8, "with_boxes": 8, "groups": 8}
    assert card["calibration"]["n"] == card["data"]["validation"]["images"] == 8
    assert card["started_from"] == {"bundle": start.checksum}
    assert card["recipe"]["name"] == "tiny_tune"
    learned = {item.sha256 for item in manifest.subset("train")}
    assert retrained.digests("training_images.txt") == start.digests("training_images.txt") | learned
    assert retrained.digests("calibration_images.txt") == {i.sha256 for i in manifest.subset("validation")}
    assert [set(losses) for losses in card["training"]["losses"]] == [
        {"loss", "cells", "box", "picture", "map", "part"}
    ]


def test_what_recognition_depends_on_does_not_change(
    retrained: Bundle, start: Bundle, manifest: Manifest
) -> None:
    spec = finding_retraining.InputSpec(**start.card["input"])
    image = preprocess(np.asarray(Image.open(manifest.file(manifest.items[0]))), spec)
    old, new = (LiteRTGraph(each.file("serving.tflite.gz")).run(image) for each in (start, retrained))
    assert np.array_equal(old["features"], new["features"])
    assert not np.array_equal(old["map"], new["map"])


def test_two_findings_are_compared_on_test_x_rays_that_are_new_to_both(
    retrained: Bundle, start: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    known = manifest.subset("test")[0]
    files = {**start.files(), "calibration_images.txt": f"{known.sha256}\n".encode()}
    other = write_bundle(tmp_path / "other", files, start.card)
    manifest.write(tmp_path / "manifest.csv")
    arguments = ["compare-finding", str(other.path), str(retrained.path), str(tmp_path / "manifest.csv")]
    arguments += ["--images", str(manifest.root), "--out", str(tmp_path / "compared.json")]
    assert main(arguments) == 0
    found = json.loads((tmp_path / "compared.json").read_text())
    assert (found["n"], found["fractured"], found["left_out"], found["groups"]) == (6, 3, 2, 3)
    assert found["before"]["all"]["auroc"]["n"] == found["after"]["all"]["auroc"]["n"] == 6
    difference = found["after"]["all"]["auroc"]["value"] - found["before"]["all"]["auroc"]["value"]
    assert found["differences"]["auroc"]["value"] == pytest.approx(difference)
    assert found["differences"]["first_mark_in_a_box"]["low"] is not None


def test_x_rays_that_the_starting_network_was_trained_on_neither_calibrate_nor_test(
    start: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    seen = f"{manifest.subset('test')[0].sha256}\n".encode()
    known = write_bundle(tmp_path / "known", {**start.files(), "training_images.txt": seen}, start.card)
    data = finding_retraining.RetrainingData.of(manifest, known)
    assert (len(data.train), len(data.validation), len(data.test), data.num_known) == (16, 8, 6, 2)


def test_a_retraining_that_was_stopped_resumes_to_the_same_network(
    retrained: Bundle, start: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    stops = iter([False] * 16 + [True] + [False] * 100)
    run = finding_retraining.RetrainingRun(tmp_path / "work", should_stop=lambda: next(stops))
    arguments = (finding_recipes.TINY_TUNE, start, manifest, tmp_path / "bundle")
    with pytest.raises(fitting.TrainingStopped):
        finding_retraining.retrain_finding(*arguments, run)
    resumed = finding_retraining.retrain_finding(
        *arguments, finding_retraining.RetrainingRun(tmp_path / "work")
    )
    image = np.random.default_rng(0).uniform(-1, 1, (448, 448, 3)).astype(np.float32)
    one, other = (LiteRTGraph(of.file("serving.tflite.gz")).run(image) for of in (retrained, resumed))
    for name in ("map", "box", "finding", "part"):
        # Sums of several threads round differently.
        assert one[name] == pytest.approx(other[name], abs=2e-2), name


def test_fractures_without_boxes_train_the_finding_of_the_whole_picture(
    start: Bundle, manifest: Manifest, tmp_path: Path
) -> None:
    without = [
        replace(item, finding=replace(item.finding, boxes=())) for item in manifest.items if item.finding
    ]
    made = finding_retraining.retrain_finding(
        finding_recipes.TINY_TUNE,
        start,
        Manifest.of(manifest.root, without),
        tmp_path / "bundle",
        finding_retraining.RetrainingRun(tmp_path / "work"),
    )
    assert made.card["data"]["learned_from"]["with_boxes"] == 0
    assert made.card["calibration"]["mark_from"] == start.card["calibration"]["mark_from"]
    assert made.card["figures"]["held_out"]["all"]["first_mark_in_a_box"]["n"] == 0
    assert made.card["training"]["losses"][0]["box"] == 0


def test_a_data_set_with_too_few_x_rays_is_refused_with_the_numbers(
    start: Bundle, manifest: Manifest
) -> None:
    data = finding_retraining.RetrainingData.of(manifest, start)
    with pytest.raises(input_pipeline.TrainingRefused) as refused:
        data.check(finding_recipes.FRACTURE_TUNE)
    assert "8 with and 8 without a fracture in 8 groups for training" in str(refused.value)
    assert "4 with and 4 without a fracture in 4 groups for testing" in str(refused.value)
    assert "at least 30 with and 30 without a fracture, in at least 10 groups" in str(refused.value)

"""Training of the finding: augmentation with boxes, the targets of cells, and a small run from table to answer."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.data.findings import Xray, read_xrays
from ml.data.manifests import Item, Manifest
from ml.networks.recipes import XRAY_AUGMENTATION
from ml.serve.bundle import Bundle, open_bundle
from ml.serve.finding import FindingPredictor
from ml.serve.inference import LiteRTGraph
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec
from tests.lazy_module import LazyModule
from tests.ml.drawings import draw_bone

network = LazyModule("ml.networks.finding_recipes")
export = LazyModule("ml.serve.export")
finding = LazyModule("ml.train.finding")
finding_release = LazyModule("ml.train.finding_release")
finding_features = LazyModule("ml.train.finding_features")
fitting = LazyModule("ml.train.fitting")
input_pipeline = LazyModule("ml.train.input_pipeline")

HEADER = "image,group,fractured,hand,leg,hip,shoulder,hardware,boxes\n"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Xray]:
    """24 drawn X-rays, every second one broken; two at a time are one group."""
    folder, rows = tmp_path_factory.mktemp("findings"), []
    for number in range(24):
        broken = number % 2 == 1
        Image.fromarray(draw_bone("Transverse" if broken else "Whole", number)).save(folder / f"{number}.png")
        rows.append(
            f"{number}.png,g{number // 4},{int(broken)},0,1,0,0,0,{'50 90 60 40' if broken else ''}\n"
        )
    (folder / "labels.csv").write_text(HEADER + "".join(rows))
    return read_xrays(folder / "labels.csv", folder)


@pytest.fixture(scope="module")
def bundle(drawn: list[Xray], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("tiny-finding")
    return finding_release.train_finding(
        network.TINY_FRACTURE, drawn, folder / "bundle", finding_release.FindingRun(folder / "work")
    )


def test_boxes_follow_the_picture_into_the_input(tmp_path: Path) -> None:
    pixels = np.full((100, 300), 40, np.uint8)
    pixels[60:80, 200:240] = 255
    Image.fromarray(pixels).save(tmp_path / "box.png")
    xray = Xray(tmp_path / "box.png", "", "g", True, ((200.0, 60.0, 40.0, 20.0),))
    image, ((x, y, width, height),) = finding_features.read_input(xray, InputSpec(96))
    rows, columns = np.nonzero(image[..., 0] > 200)
    assert (x, y) == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5), abs=0.6)
    assert (width, height) == pytest.approx((40 * 96 / 300, 20 * 96 / 300))


def test_boxes_follow_the_augmentation() -> None:
    image = np.zeros((128, 128, 1), np.uint8)
    image[40:50, 70:84] = 255
    how = replace(XRAY_AUGMENTATION, gamma=0, contrast=0, brightness=0, noise=0)
    for seed in range(10):
        augmented, ((x, y, _, _),) = finding_features.augment(
            image, [(77, 45, 14, 10)], how, np.random.default_rng(seed)
        )
        rows, columns = np.nonzero(augmented[..., 0] > 128)
        assert (x, y) == pytest.approx((columns.mean() + 0.5, rows.mean() + 0.5), abs=1.0)


def test_the_same_seed_augments_in_the_same_way() -> None:
    image = draw_bone(size=(96, 96))[..., np.newaxis]
    one, other = (
        finding_features.augment(image, [], XRAY_AUGMENTATION, np.random.default_rng(3))[0] for _ in range(2)
    )
    assert np.array_equal(one, other)


def test_the_core_of_a_box_is_positive_and_its_rim_does_not_count() -> None:
    classes, boxes = finding.cell_targets([(64, 64, 40, 24)], 0, 0, 128)
    assert classes[8, 8] == 1
    assert classes[8, 5] == -1
    assert classes[0, 0] == 0
    right, down, log_width, log_height = boxes[8, 8]
    assert (right * 32, down * 32) == pytest.approx((64 - 68, 64 - 68))
    assert (32 * np.exp(log_width), 32 * np.exp(log_height)) == pytest.approx((40, 24))


def test_even_a_tiny_box_has_a_positive_cell() -> None:
    for x in np.arange(40, 56, 0.7):
        assert (finding.cell_targets([(x, x + 3, 4, 4)], 0, 0, 128)[0] == 1).any()


def test_a_crop_has_its_own_cells() -> None:
    whole, crop = (
        finding.cell_targets([(96, 96, 30, 30)], 0, 0, 128)[0],
        finding.cell_targets([(96, 96, 30, 30)], 64, 64, 64)[0],
    )
    assert np.array_equal(whole[8:, 8:], crop)


def test_a_trained_bundle_answers(bundle: Bundle, drawn: list[Xray]) -> None:
    predictor = FindingPredictor(bundle, "litert")
    found = predictor.predict([draw_bone("Transverse", seed) for seed in range(4)])
    for answer in found:
        assert answer.recognised == (answer.finding is not None)
        assert answer.probability is None or 0 <= answer.probability <= 1
    card = bundle.card
    data = card["data"]
    assert data["learned_from"]["images"] + data["held_out"]["images"] == 24
    assert card["figures"]["held_out"]["all"]["n"] == data["held_out"]["images"]
    assert card["calibration"]["not_seen_below"] <= card["calibration"]["seen_from"]
    assert json.loads(bundle.file("card.json").read_text())["recipe"]["name"] == "tiny"


def test_the_graph_answers_as_the_keras_model(bundle: Bundle) -> None:
    graph, model = (
        LiteRTGraph(bundle.file("serving.tflite.gz")),
        export.load_keras(bundle.file("model.keras")),
    )
    image = np.random.default_rng(0).uniform(-1, 1, (96, 96, 3)).astype(np.float32)
    served, expected = graph.run(image), model(image[np.newaxis])
    for name in ("map", "box", "finding", "part"):
        assert served[name] == pytest.approx(expected[name].numpy()[0], abs=2e-2), name


def test_an_evaluation_writes_figures_and_a_report(bundle: Bundle, drawn: list[Xray], tmp_path: Path) -> None:
    folder = drawn[0].path.parent
    arguments = ["evaluate-finding", str(folder / "labels.csv"), "--images", str(folder)]
    arguments += ["--bundle", str(bundle.path), "--out", str(tmp_path / "figures.json")]
    assert main([*arguments, "--report", str(tmp_path / "report.html")]) == 0
    facts = json.loads((tmp_path / "figures.json").read_text())
    assert facts["bundle"] == bundle.checksum
    assert facts["learned_from"] > 0
    report = (tmp_path / "report.html").read_text()
    assert f"The model was trained on {facts['learned_from']} of these X-rays" in report
    assert report.count("<svg") == 3


def test_recognition_is_fitted_again_without_changing_the_network(
    bundle: Bundle, drawn: list[Xray], tmp_path: Path
) -> None:
    manifest, others = tmp_path / "manifest.csv", tmp_path / "others"
    items = []
    for number in range(12):
        path = tmp_path / "web" / "Transverse" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_bone("Transverse", 100 + number)[::2, ::2]).save(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        items.append(Item(f"Transverse/{number}.png", digest, 1, 1, "Transverse", f"g{number}", "train"))
        (others / "snow").mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (96, 96), dtype=np.uint8)
        Image.fromarray(noise).save(others / "snow" / f"volume{number % 3}-{number}.png")
    Manifest.of(tmp_path / "web", items).write(manifest)
    labels = drawn[0].path.parent / "labels.csv"
    arguments = ["fit-recognition", str(bundle.path), str(labels), "--images", str(drawn[0].path.parent)]
    arguments += ["--fractures", str(manifest), "--fracture-images", str(tmp_path / "web")]
    assert main([*arguments, "--other-images", str(others), "--out", str(tmp_path / "new")]) == 0
    refitted = open_bundle(tmp_path / "new")
    for name in ("model.keras", "serving.tflite.gz", "training_images.txt"):
        assert refitted.file(name).read_bytes() == bundle.file(name).read_bytes()
    assert refitted.card["figures"]["held_out"] == bundle.card["figures"]["held_out"]
    recognised = refitted.card["figures"]["recognised"]
    assert recognised["fractures_of_other_sources"]["n"] == 12
    assert recognised["snow"]["n"] == 12
    calibration = refitted.card["calibration"]
    assert calibration["not_seen_below_other_sources"] <= calibration["not_seen_below"]
    assert refitted.card["figures"]["fractures_of_other_sources"]["groups"] == 12
    distribution = Distribution.load(refitted.path)
    assert distribution is not None
    assert distribution.mean.shape[0] == 2
    assert distribution.boundary is not None
    assert main([*arguments, "--other-images", str(tmp_path / "web" / "Transverse"), "--out", "x"]) == 1


def test_a_stopped_run_resumes_to_the_same_model(drawn: list[Xray], bundle: Bundle, tmp_path: Path) -> None:
    stops = iter([False] * 30 + [True] + [False] * 1000)
    run = finding_release.FindingRun(tmp_path / "work", should_stop=lambda: next(stops))
    with pytest.raises(fitting.TrainingStopped):
        finding_release.train_finding(network.TINY_FRACTURE, drawn, tmp_path / "bundle", run)
    resumed = finding_release.train_finding(
        network.TINY_FRACTURE, drawn, tmp_path / "bundle", finding_release.FindingRun(tmp_path / "work")
    )
    image = np.random.default_rng(0).uniform(-1, 1, (96, 96, 3)).astype(np.float32)
    one, other = (LiteRTGraph(of.file("serving.tflite.gz")).run(image) for of in (bundle, resumed))
    for name in ("map", "box", "finding", "part"):
        # Sums of several threads round differently.
        assert one[name] == pytest.approx(other[name], abs=2e-2), name


def test_too_few_fractures_are_refused(drawn: list[Xray], tmp_path: Path) -> None:
    whole = [xray for xray in drawn if not xray.fractured]
    with pytest.raises(input_pipeline.TrainingRefused, match="fractured"):
        finding_release.train_finding(
            network.TINY_FRACTURE, whole, tmp_path / "bundle", finding_release.FindingRun(tmp_path / "work")
        )

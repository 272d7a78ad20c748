"""Training is reproducible, resumes after being killed, and never uses the test split."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ml.__main__ import main
from ml.data.manifests import Manifest
from ml.networks.recipes import PRETRAINED, RECIPES, Recipe
from ml.progress import ProgressEvent, console_reporter, json_reporter
from ml.serve.bundle import REQUIRED_FILES, TRAINING_IMAGES, Bundle, open_bundle, write_bundle
from ml.serve.calibration import fit_temperature, softmax
from ml.serve.preprocessing import InputSpec, preprocess
from tests.lazy_module import LazyModule

architectures = LazyModule("ml.networks.architectures")
export = LazyModule("ml.serve.export")
layers = LazyModule("keras.layers")
cross_validation = LazyModule("ml.train.cross_validation")
fitting = LazyModule("ml.train.fitting")
input_pipeline = LazyModule("ml.train.input_pipeline")
release = LazyModule("ml.train.release")
calibration = LazyModule("ml.train.calibration")

TINY = RECIPES["tiny"]
ONCE = replace(TINY, backbone_output=None, folds=0, views=0, epochs=3, dropout=0.3, mixup=0.2)


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(64, trim=True, contrast=True),
        InputSpec(48, channels="rgb", fit="stretch", scale="0..1"),
    ],
)
def test_training_and_serving_preprocess_images_identically(
    drawn: Manifest, drawn_pixels: list[np.ndarray], spec: InputSpec, tmp_path: Path
) -> None:
    images = input_pipeline.decode_images(drawn, drawn.items, spec, tmp_path, lambda event: None)
    targets = np.zeros((len(images), 2), np.float32)
    examples = input_pipeline.Examples(images[np.newaxis], targets, np.arange(len(images)), spec)
    seen = np.concatenate(list(input_pipeline.inference_batches(examples, np.arange(len(images)))))
    served = np.stack([preprocess(pixels, spec) for pixels in drawn_pixels])
    np.testing.assert_array_equal(seen, served)


def test_batches_depend_on_the_seed_and_the_epoch(drawn: Manifest) -> None:
    examples = input_pipeline.Examples(
        np.random.default_rng(0).random((3, 40, 4, 4, 2)).astype(np.float16),
        np.eye(2, dtype=np.float32)[np.arange(40) % 2],
        np.arange(40),
        TINY.input,
    )

    def drawn_with(seed: int, epoch: int) -> np.ndarray:
        return np.concatenate(
            [x for x, _ in input_pipeline.training_batches(examples, np.arange(40), TINY, seed, epoch)]
        )

    np.testing.assert_array_equal(drawn_with(1, 2), drawn_with(1, 2))
    assert not np.array_equal(drawn_with(1, 2), drawn_with(1, 3))
    assert not np.array_equal(drawn_with(1, 2), drawn_with(2, 2))


def test_balanced_sampling_draws_rare_classes_more_often() -> None:
    labels = np.array([0] * 90 + [1] * 10)
    targets = np.eye(2, dtype=np.float32)[labels]
    examples = input_pipeline.Examples(np.zeros((1, 100, 2), np.float16), targets, np.arange(100), TINY.input)
    recipe = replace(TINY, balance=1.0, mixup=0.0)
    targets = np.concatenate(
        [y for _, y in input_pipeline.training_batches(examples, np.arange(100), recipe, 0, 0)]
    )
    assert 30 < targets[:, 1].sum() < 70


def test_a_killed_run_resumes_to_the_bundle_of_an_uninterrupted_one(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    steps = 0

    def killed() -> bool:
        nonlocal steps
        steps += 1
        return steps in (8, 60)

    for _ in range(2):
        with pytest.raises(fitting.TrainingStopped):
            release.train(
                TINY,
                drawn,
                tmp_path / "bundle",
                cross_validation.RunOptions(tmp_path / "work", should_stop=killed),
            )
        assert not (tmp_path / "bundle").exists()
    resumed = release.train(TINY, drawn, tmp_path / "bundle", cross_validation.RunOptions(tmp_path / "work"))
    assert resumed.card == tiny_bundle.card
    assert resumed.checksum == tiny_bundle.checksum


def test_a_run_with_dropout_and_early_stopping_resumes_to_the_same_weights(
    drawn: Manifest, tmp_path: Path
) -> None:
    steps = 0

    def killed() -> bool:
        nonlocal steps
        steps += 1
        return steps == 9

    with pytest.raises(fitting.TrainingStopped):
        cross_validation.train_model(
            ONCE, drawn, cross_validation.RunOptions(tmp_path / "killed", seed=3, should_stop=killed)
        )
    resumed = cross_validation.train_model(
        ONCE, drawn, cross_validation.RunOptions(tmp_path / "killed", seed=3)
    )
    whole = cross_validation.train_model(ONCE, drawn, cross_validation.RunOptions(tmp_path / "whole", seed=3))
    assert resumed.progress == whole.progress
    for one, other in zip(resumed.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_epoch_of_the_lowest_validation_loss_is_kept(drawn: Manifest, tmp_path: Path) -> None:
    recipe = replace(ONCE, epochs=5, patience=2, learning_rate=0.3, head_learning_rate=0.3)
    progress = cross_validation.train_model(recipe, drawn, cross_validation.RunOptions(tmp_path)).progress
    losses = [figures["val_loss"] for figures in progress.history]
    assert progress.best_epoch == len(losses) - losses[::-1].index(min(losses))
    assert len(losses) == min(5, progress.best_epoch + 2)


def test_the_test_split_does_not_change_the_model(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    without = Manifest.of(drawn.root, [item for item in drawn.items if item.split != "test"])
    alone = release.train(TINY, without, tmp_path / "alone", cross_validation.RunOptions(tmp_path / "work"))
    for name in ("model.keras", "serving.tflite.gz", "distribution.npz"):
        assert tiny_bundle.file(name).read_bytes() == alone.file(name).read_bytes()
    assert tiny_bundle.card["calibration"] == alone.card["calibration"]
    assert "test" not in alone.card["figures"]


def test_the_model_is_accurate_and_its_card_has_the_metrics(tiny_bundle: Bundle) -> None:
    card = tiny_bundle.card
    held_out = card["figures"]["held_out"]
    assert held_out["n"] == 54
    assert held_out["accuracy"]["low"] > 0.6
    assert held_out["accuracy"]["low"] <= held_out["accuracy"]["value"] <= held_out["accuracy"]["high"]
    assert card["figures"]["test"]["n"] == 6
    assert card["data"] | {"manifest_sha256": ""} == {
        "manifest_sha256": "",
        "train": 42,
        "validation": 12,
        "test": 6,
    }


def test_the_temperature_is_the_upper_end_of_its_interval() -> None:
    random = np.random.default_rng(0)
    logits = (random.normal(size=(400, 5)) * 1.5).astype(np.float32)
    labels = np.array([random.choice(5, p=row) for row in softmax(logits)])
    groups = [str(number // 2) for number in range(400)]
    estimate = fit_temperature(logits, labels, groups)
    upper = calibration.fit_upper_temperature(logits, labels, groups, 0)
    assert estimate == pytest.approx(1, rel=0.15)
    assert 1.02 * estimate < upper < 1.3 * estimate
    assert calibration.fit_upper_temperature(logits, labels, groups, 0) == upper


def test_recalibrating_does_not_change_the_network(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    labels = np.arange(60) % 2
    logits = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
    cross_validation.HeldOutPredictions(logits, labels, [str(number) for number in range(60)]).save(
        tmp_path / "held_out.npz"
    )
    drawn.write(tmp_path / "manifest.csv")
    arguments = ["recalibrate-kind", str(tiny_bundle.path), str(tmp_path / "held_out.npz")]
    arguments += ["--manifest", str(tmp_path / "manifest.csv"), "--images", str(drawn.root)]
    assert main([*arguments, "--out", str(tmp_path / "new")]) == 0
    new = open_bundle(tmp_path / "new")
    for name in ("model.keras", "serving.tflite.gz", "distribution.npz", TRAINING_IMAGES):
        assert new.file(name).read_bytes() == tiny_bundle.file(name).read_bytes()
    assert new.card["calibration"]["temperature"] > tiny_bundle.card["calibration"]["temperature"]
    assert new.card["figures"]["held_out"]["n"] == 60
    assert new.card["figures"]["test"]["n"] == 6
    assert new.card["figures"]["in_distribution"] == tiny_bundle.card["figures"]["in_distribution"]


def with_training_images(bundle: Bundle, path: Path, seen: str) -> Path:
    """Writes a copy of a bundle that lists other training images."""
    files = {name: bundle.file(name).read_bytes() for name in REQUIRED_FILES if name != "card.json"} | {
        TRAINING_IMAGES: seen.encode()
    }
    return write_bundle(path, files, bundle.card).path


def test_training_starts_from_a_bundle_with_fewer_classes(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    renamed = [
        replace(item, label="Bent") if item.label == "Comminuted" and int(Path(item.path).stem) % 2 else item
        for item in drawn.items
    ]
    regrouped = [replace(item, group=item.path) for item in renamed]
    manifest = Manifest.of(drawn.root, regrouped)
    recipe = replace(ONCE, epochs=1, learning_rate=1e-9, head_learning_rate=1e-9)
    start = with_training_images(tiny_bundle, tmp_path / "start", "")
    learned = cross_validation.train_model(
        recipe, manifest, cross_validation.RunOptions(tmp_path / "work", start=start)
    )
    before = export.load_keras(tiny_bundle.file("model.keras")).get_layer("logits").get_weights()[0]
    after = learned.model.get_layer("logits").get_weights()[0]
    assert manifest.classes == ["Bent", "Comminuted", "Transverse"]
    np.testing.assert_allclose(after[:, 1:], before, atol=1e-6)


def test_a_bundle_lists_the_training_images_of_the_bundle_it_started_from(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    learned_before = tiny_bundle.file(TRAINING_IMAGES).read_bytes()
    others = Manifest.of(drawn.root, [replace(item, split="test") for item in drawn.items])
    assert release.images_learned_from(others, start=tiny_bundle.path) == learned_before
    (tmp_path / "older").mkdir()
    assert release.images_learned_from(drawn, start=tmp_path / "older") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sha256": "0" * 64}, "is not the image that the manifest lists"),
        ({"path": "Transverse/missing.png"}, "cannot be read: No such file"),
    ],
)
def test_a_changed_or_missing_image_is_reported(
    drawn: Manifest, tmp_path: Path, change: dict[str, str], sentence: str
) -> None:
    changed = next(item for item in drawn.items if item.split == "train")
    items = [replace(item, **change) if item is changed else item for item in drawn.items]
    with pytest.raises(input_pipeline.TrainingRefused, match=sentence):
        cross_validation.train_model(
            TINY, Manifest.of(drawn.root, items), cross_validation.RunOptions(tmp_path)
        )
    assert not list(tmp_path.glob("*.npy"))


def test_weights_of_another_network_are_refused(drawn: Manifest, tmp_path: Path) -> None:
    with pytest.raises(input_pipeline.TrainingRefused, match="do not fit the recipe 'top'"):
        cross_validation.train_model(
            RECIPES["top"],
            drawn,
            cross_validation.RunOptions(
                tmp_path, weights=PRETRAINED / "efficientnet_lite2.imagenet.weights.h5"
            ),
        )


@pytest.mark.parametrize("recipe", [TINY, ONCE], ids=["cross-validated", "once"])
def test_training_images_of_the_starting_bundle_do_not_calibrate(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path, recipe: Recipe
) -> None:
    with pytest.raises(input_pipeline.TrainingRefused, match="Start from the pretrained network instead"):
        cross_validation.train_model(
            recipe, drawn, cross_validation.RunOptions(tmp_path / "work", start=tiny_bundle.path)
        )
    files = {name: tiny_bundle.file(name).read_bytes() for name in REQUIRED_FILES if name != "card.json"}
    unknown = write_bundle(tmp_path / "unknown", files, tiny_bundle.card).path
    with pytest.raises(
        input_pipeline.TrainingRefused, match="does not list the images that it was trained on"
    ):
        cross_validation.train_model(
            recipe, drawn, cross_validation.RunOptions(tmp_path / "work", start=unknown)
        )


def test_images_of_groups_that_are_new_to_the_starting_bundle_calibrate(
    drawn: Manifest, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    seen = drawn.subset("train")[0]
    same_group = [item for item in drawn.items if item.group == seen.group]
    assert len(same_group) > 1
    start = with_training_images(tiny_bundle, tmp_path / "start", f"{seen.sha256}\n")
    learned = cross_validation.train_model(
        replace(TINY, epochs=1), drawn, cross_validation.RunOptions(tmp_path / "work", start=start)
    )
    others = len(drawn.subset("train")) + len(drawn.subset("validation")) - len(same_group)
    assert len(learned.held_out.labels) == others


def test_frozen_batch_normalization_keeps_its_statistics(drawn: Manifest, tmp_path: Path) -> None:
    for frozen in (True, False):
        recipe = replace(ONCE, epochs=1, freeze_batch_norm=frozen)
        learned = cross_validation.train_model(
            recipe, drawn, cross_validation.RunOptions(tmp_path / str(frozen))
        )
        norms = [layer for layer in learned.model.layers if isinstance(layer, layers.BatchNormalization)]
        moved = [not np.allclose(layer.get_weights()[2], 0) for layer in norms]
        assert moved == [not frozen] * len(norms)


def test_progress_is_written_as_json_lines_or_as_one_line_per_epoch() -> None:
    program, log = io.StringIO(), io.StringIO()
    for step in (1, 2):
        event = ProgressEvent("train", 1, 5, step, 2, {"loss": 0.5}, 75.0)
        json_reporter(program)(event)
        console_reporter(log)(event)
    assert [json.loads(line)["step"] for line in program.getvalue().splitlines()] == [1, 2]
    assert log.getvalue() == "train 1/5  loss 0.500  1 min 15 s left\n"


def test_the_original_network_has_the_published_number_of_parameters() -> None:
    assert architectures.build_network("seed_cnn", 256, 10).count_params() == 19_757_378


def test_the_shipped_bundle_is_complete_and_small() -> None:
    from ml.serve.bundle import SHIPPED

    bundle = open_bundle(SHIPPED)
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*")) <= 30 * 1024**2
    assert len(bundle.classes) == 10

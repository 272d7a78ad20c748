"""The finding as served: the shipped bundle, its marks and its words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from ml.data import out_of_distribution_images
from ml.data.images import read_image
from ml.serve.bundle import FINDING, SHIPPED, BundleIncompatible, open_bundle
from ml.serve.finding import (
    BodyPartRule,
    FindingCalibration,
    FindingPredictor,
    map_score,
    name_body_part,
    peaks,
)
from ml.serve.preprocessing import InputSpec
from tests.ml.drawings import draw_bone


@pytest.fixture(scope="module")
def predictor() -> FindingPredictor:
    return FindingPredictor(open_bundle(SHIPPED / FINDING), "litert")


def calibration(**changes: float) -> FindingCalibration:
    values = {
        "map_weight": 1.0,
        "pooled_weight": 1.0,
        "bias": 0.0,
        "seen_from": 0.5,
        "not_seen_below": 0.1,
        "mark_from": 0.4,
    }
    return FindingCalibration(**{**values, **changes})


def test_the_probability_decides_the_finding() -> None:
    words = [calibration().name(probability) for probability in (0.09, 0.1, 0.49, 0.5)]
    assert words == ["no fracture seen", "doubtful", "doubtful", "fracture seen"]


def test_x_rays_of_other_sources_have_their_own_lower_threshold() -> None:
    with_other = calibration(not_seen_below_other_sources=0.02)
    assert with_other.name(0.05) == "no fracture seen"
    assert with_other.name(0.05, other_source=True) == "doubtful"
    assert with_other.name(0.01, other_source=True) == "no fracture seen"
    assert calibration().name(0.05, other_source=True) == "no fracture seen"


def test_both_scores_raise_the_probability() -> None:
    assert calibration().probability(0.0, 0.0) == pytest.approx(0.5)
    assert calibration().probability(2.0, 0.0) > 0.5
    assert calibration().probability(0.0, 2.0) > 0.5
    assert calibration().probability(1e9, 1e9) == pytest.approx(1)


def test_the_map_score_is_near_its_maximum() -> None:
    scores = np.full((8, 8, 1), -20, np.float32)
    scores[3, 4] = 5
    assert map_score(scores) == pytest.approx(5, abs=1e-3)


def test_marks_are_the_best_cells_and_stand_apart() -> None:
    scores, boxes = np.full((16, 16), -5, np.float32), np.zeros((16, 16, 4), np.float32)
    scores[4, 4], scores[4, 5], scores[12, 10] = 3, 2, 1
    first, second, third = peaks(scores, boxes, 128)
    assert (first.x + first.width / 2, first.y + first.height / 2) == (36, 36)
    assert (second.x + second.width / 2, second.y + second.height / 2) == (84, 100)
    assert first.score > second.score > third.score
    assert (first.width, first.height) == (32, 32)


def test_the_most_probable_body_part_is_named_unless_a_second_is_nearly_certain() -> None:
    def named(*logits: float, bias: float = 0.0) -> str | None:
        rule = BodyPartRule([0, 0, bias], named_from=0.3, several_from=0.9)
        return name_body_part(np.array(logits, np.float32), rule, ["hand", "leg", "hip"])

    assert named(1, -2, -3) == "hand"
    assert named(1, 2, -3) == "leg"
    assert named(3, 3, -3) == "several"
    assert named(-3, -3, -3) is None
    assert named(-0.5, -3, -1) == "hand"
    assert named(-0.5, -3, -1, bias=1.2) == "hip"


def test_a_kind_bundle_does_not_answer_the_finding() -> None:
    with pytest.raises(BundleIncompatible, match="is not a fracture-finding bundle"):
        FindingPredictor(open_bundle(SHIPPED), "litert")


def test_the_shipped_card_says_what_it_was_measured_on() -> None:
    card = open_bundle(SHIPPED / FINDING).card
    assert card["answers"] == "finding"
    held_out = card["figures"]["held_out"]
    assert held_out["all"]["n"] > 1000
    assert {"without_hardware", "hand", "leg", "hip", "shoulder"} <= set(held_out)
    low, value, high = (held_out["all"]["auroc"][name] for name in ("low", "value", "high"))
    assert low < value < high
    assert "CC BY 4.0" in str(card["origin"])


def test_pictures_that_are_not_x_rays_get_no_finding(predictor: FindingPredictor) -> None:
    pictures = out_of_distribution_images.render_images(per_kind=3)
    for kind in ("document", "screen", "chart", "noise", "blank"):
        for found in predictor.predict(pictures[kind]):
            assert not found.recognised, kind
            assert (found.finding, found.probability, found.marks, found.body_part) == (None, None, (), None)


def test_the_answer_does_not_change_between_calls(predictor: FindingPredictor) -> None:
    bone = draw_bone()
    assert predictor.predict([bone, bone])[0] == predictor.predict([bone])[0]


def test_a_chest_and_slices_get_no_finding(predictor: FindingPredictor, shared: Path) -> None:
    chest = read_image(shared / "data/dicom/RG1_J2KI.dcm").pixels
    slices = []
    for name in ("CT_small", "MR_small"):
        values = dcmread(shared / f"data/dicom/{name}.dcm").pixel_array.astype(np.float64)
        low, high = np.percentile(values, [0.5, 99.5])
        slices.append(np.uint8(np.clip((values - low) / (high - low), 0, 1) * 255))
    for found in predictor.predict([chest, *slices]):
        assert not found.recognised


def test_photographs_get_no_finding(predictor: FindingPredictor) -> None:
    photographs = out_of_distribution_images.load_photographs()
    assert photographs
    assert not any(found.recognised for found in predictor.predict(photographs))


def test_the_input_is_larger_than_the_kinds() -> None:
    assert InputSpec(**open_bundle(SHIPPED / FINDING).card["input"]).size > 256

"""The finding of the shipped bundle on real X-rays."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ml.data.images import read_image
from ml.serve.bundle import FINDING, SHIPPED, open_bundle
from ml.serve.finding import FindingPredictor

FRACATLAS = Path(__file__).parents[4] / "shared/data/fracatlas"


@pytest.fixture(scope="module")
def predictor() -> FindingPredictor:
    return FindingPredictor(open_bundle(SHIPPED / FINDING), "litert")


def fracatlas(fractured: str, count: int) -> list[dict[str, str]]:
    if not FRACATLAS.is_dir():
        pytest.skip("needs ../shared/data/fracatlas")
    with (FRACATLAS / "labels.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["fractured"] == fractured][:: 400 // count][:count]


def test_marks_lie_on_real_fractures(predictor: FindingPredictor) -> None:
    """These were trained on, so this holds the way from the map to the picture, not the model's skill."""
    hits, rows = 0, fracatlas("1", 40)
    for row in rows:
        pixels = read_image(FRACATLAS / "images" / row["image"]).pixels
        marks = predictor.predict([pixels])[0].marks
        assert len(marks) <= 3
        assert [mark.score for mark in marks] == sorted((mark.score for mark in marks), reverse=True)
        for mark in marks:
            assert 0 <= mark.x <= mark.x + mark.width <= pixels.shape[1]
            assert 0 <= mark.y <= mark.y + mark.height <= pixels.shape[0]
        boxes = [[float(value) for value in box.split()] for box in row["boxes"].split(";")]
        if marks:
            x, y = marks[0].x + marks[0].width / 2, marks[0].y + marks[0].height / 2
            hits += any(b[0] <= x <= b[0] + b[2] and b[1] <= y <= b[1] + b[3] for b in boxes)
    assert hits > len(rows) / 2


def test_real_x_rays_are_recognised_and_their_part_is_named(predictor: FindingPredictor) -> None:
    rows = fracatlas("0", 40)
    pixels = [read_image(FRACATLAS / "images" / row["image"]).pixels for row in rows]
    found = predictor.predict(pixels)
    assert sum(answer.recognised for answer in found) >= 0.9 * len(found)
    named = [(answer.body_part, row) for answer, row in zip(found, rows, strict=True) if answer.body_part]
    right = sum(row["mixed"] == "1" if part == "several" else row[part] == "1" for part, row in named if part)
    assert right > 0.8 * len(named)


def test_broken_bones_from_web_pages_are_recognised(predictor: FindingPredictor, shared: Path) -> None:
    paths = sorted((shared / "data/bone-break").glob("*/Test/*.jpg"))[::2]
    found = predictor.predict([read_image(path).pixels for path in paths])
    assert sum(answer.recognised for answer in found) >= 0.93 * len(found)
    missed = sum(answer.finding == "no fracture seen" for answer in found)
    assert missed <= 0.15 * len(found)

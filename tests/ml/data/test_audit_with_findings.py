"""The audit of a data set whose table says which images are fractured: what becomes of kinds, copies and groups."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from PIL import Image

from ml.data.audit import audit
from ml.data.manifests import DatasetRefused
from tests.data_sets import draw_distinct

HEADER = ["image", "group", "fractured", "boxes"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two fractures with a kind and two images without one, one of which shows a fracture."""
    for number, path in enumerate(("A/0.png", "A/1.png", "no-kind/2.png", "no-kind/3.png")):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray(draw_distinct("Transverse", number)).save(tmp_path / path)
    return tmp_path


def write(folder: Path, *rows: list[str], header: list[str] = HEADER) -> None:
    with (folder / "findings.csv").open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


ROWS = (
    ["A/0.png", "p1", "1", "10 20 30 40"],
    ["no-kind/2.png", "p2", "0", ""],
    ["no-kind/3.png", "p2", "1", ""],
)


def test_kinds_and_findings_share_groups_and_the_split(folder: Path) -> None:
    write(folder, *ROWS)
    found = audit(folder)
    items = {item.path: item for item in found.manifest.items}
    assert found.manifest.classes == ["A"]
    assert found.folder.ignored == []
    assert items["A/1.png"].finding is None
    known = {path: item.finding.fractured for path, item in items.items() if item.finding}
    assert known == {"A/0.png": True, "no-kind/2.png": False, "no-kind/3.png": True}
    assert items["A/0.png"].finding is not None
    assert items["A/0.png"].finding.boxes == ((10, 20, 30, 40),)
    assert items["no-kind/2.png"].group == items["no-kind/3.png"].group == "p2"
    assert found.mixed_groups == []


def test_copies_with_opposite_findings_are_dropped_and_an_unknown_finding_fits_both(folder: Path) -> None:
    shutil.copy(folder / "A/0.png", folder / "no-kind/copy.png")
    shutil.copy(folder / "A/1.png", folder / "no-kind/other.png")
    write(folder, *ROWS, ["no-kind/copy.png", "p3", "0", ""], ["no-kind/other.png", "p4", "1", ""])
    kept = {item.path for item in audit(folder).manifest.items}
    assert kept == {"A/1.png", "no-kind/2.png", "no-kind/3.png", "no-kind/other.png"}


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (ROWS[:2], "'no-kind/3.png' has no kind of fracture, so findings.csv must say"),
        ([*ROWS, ["B/1.png", "p", "1", ""]], "line 5: 'B/1.png' is not an image in a class folder"),
        ([*ROWS, ROWS[0]], "line 5: 'A/0.png' is listed twice"),
        ([*ROWS, ["A/1.png", "", "1", ""]], "line 5 has no group"),
        ([*ROWS, ["A/1.png", "p", "0", "1 2 3 4"]], "line 5: an image without a fracture has a box"),
    ],
)
def test_a_table_that_does_not_fit_the_images_is_refused(
    folder: Path, rows: list[list[str]], error: str
) -> None:
    write(folder, *rows)
    with pytest.raises(DatasetRefused, match=error):
        audit(folder)


def test_a_table_without_the_column_fractured_is_refused(folder: Path) -> None:
    write(folder, header=["image", "group"])
    with pytest.raises(DatasetRefused, match=r"findings.csv has no column 'fractured'"):
        audit(folder)

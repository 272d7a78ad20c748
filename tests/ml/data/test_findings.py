"""The table of X-rays with a finding."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ml.data.findings import read_xrays
from ml.data.manifests import DatasetRefused
from tests.ml.drawings import draw_bone

HEADER = "image,group,fractured,hand,leg,hip,shoulder,hardware,boxes\n"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for number in range(3):
        Image.fromarray(draw_bone(seed=number)).save(tmp_path / f"{number}.png")
    (tmp_path / "copy.png").write_bytes((tmp_path / "0.png").read_bytes())
    return tmp_path


def write(images: Path, *rows: str, header: str = HEADER) -> Path:
    table = images / "labels.csv"
    table.write_text(header + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    return table


def test_a_row_is_an_x_ray(images: Path) -> None:
    table = write(images, "0.png,a,1,0,1,0,0,1,10 20 30 40;1 2 3.5 4", "1.png,b,0,1,0,0,0,0,")
    broken, whole = read_xrays(table, images)
    assert broken.path == images / "0.png"
    assert broken.boxes == ((10, 20, 30, 40), (1, 2, 3.5, 4))
    assert (broken.fractured, broken.body_parts, broken.hardware) == (True, (False, True, False, False), True)
    assert (whole.fractured, whole.boxes, whole.hardware) == (False, (), False)


def test_parts_and_metal_may_be_unknown(images: Path) -> None:
    table = write(images, "0.png,a,0,", header="image,group,fractured,boxes\n")
    assert read_xrays(table, images)[0].body_parts is None
    assert read_xrays(table, images)[0].hardware is None


def test_groups_that_share_a_file_are_joined(images: Path) -> None:
    table = write(images, "0.png,a,0,0,1,0,0,0,", "copy.png,b,0,0,1,0,0,0,", "1.png,b,0,0,1,0,0,0,")
    assert len({xray.group for xray in read_xrays(table, images)}) == 1


def test_copies_with_two_labels_contradict_each_other(images: Path) -> None:
    rows = ("0.png,a,1,0,1,0,0,0,1 1 9 9", "copy.png,b,0,0,1,0,0,0,", "1.png,c,0,0,1,0,0,0,")
    assert [xray.contradicted for xray in read_xrays(write(images, *rows), images)] == [True, True, False]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("missing.png,a,0,0,1,0,0,0,", "cannot be read"),
        ("0.png,a,maybe,0,1,0,0,0,", "not 0 or 1"),
        ("0.png,a,1,0,1,0,0,0,1 2 3", "box"),
        ("0.png,a,1,0,1,0,0,0,1 2 three 4", "four numbers"),
        ("0.png,a,1,0,1,0,0,0,1 2 0 4", "box"),
        ("0.png,a,0,0,1,0,0,0,1 2 3 4", "without a fracture"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(images: Path, row: str, why: str) -> None:
    with pytest.raises(DatasetRefused, match=why) as refused:
        read_xrays(write(images, row), images)
    assert "line 2" in str(refused.value)


def test_a_table_without_a_column_is_refused(images: Path) -> None:
    with pytest.raises(DatasetRefused, match="'boxes'"):
        read_xrays(write(images, header="image,group,fractured\n"), images)


def test_boxes_may_be_left_out_where_they_are_not_needed(images: Path) -> None:
    table = write(images, "0.png,a,1,ABC", header="image,group,fractured,original_sha256\n")
    (xray,) = read_xrays(table, images, needs_boxes=False)
    assert (xray.fractured, xray.boxes, xray.original_sha256) == (True, (), "abc")

"""A bundle whose finding recognises drawings, and tables of drawn X-rays to recalibrate it on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ml.serve import out_of_distribution
from ml.serve.bundle import SHIPPED, TRAINING_IMAGES, Bundle, combine_bundles, open_bundle, write_bundle
from tests.ml.drawings import draw_bone


def recognising_bundle(folder: Path, trained_on: Sequence[str] = ()) -> Bundle:
    """The shipped bundle without the check that refuses drawings as unlike X-rays.

    Args:
        folder: Folder of the new bundle.
        trained_on: SHA-256 of the images that the finding counts as trained on.
    """
    shipped = open_bundle(SHIPPED)
    assert shipped.finding is not None
    files: dict[str, Any] = {**shipped.finding.files()}
    del files[out_of_distribution.FILE]
    files[TRAINING_IMAGES] = "".join(f"{digest}\n" for digest in trained_on).encode()
    finding = write_bundle(folder.with_name(f"{folder.name}-finding"), files, shipped.finding.card)
    return combine_bundles(shipped, finding, folder)


def draw_labelled(folder: Path, each: int = 30, groups: int = 10, boxes: bool = False) -> Path:
    """Draws X-rays of broken and whole bones and writes their table, whose path is returned.

    Args:
        folder: Folder of the images and of the table.
        each: Number of X-rays with a fracture, and of those without.
        groups: Number of groups.
        boxes: Whether fractures have boxes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["image,group,fractured,boxes" if boxes else "image,group,fractured"]
    for number in range(2 * each):
        fractured = number % 2
        kind = "Comminuted" if fractured else "Whole"
        Image.fromarray(draw_bone(kind, number)).save(folder / f"{number}.png")
        row = f"{number}.png,g{number // 2 % groups},{fractured}"
        rows.append(row + (",40 60 80 100" if fractured else ",") if boxes else row)
    table = folder / "labels.csv"
    table.write_text("".join(f"{row}\n" for row in rows))
    return table

"""Files of each kind show the right picture, or are refused with a true sentence."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from tests.intake_cases import Case
from tests.intake_dicom import DICOM_CASES
from tests.intake_table import BEGIN, CASES, DOCUMENT, END, table


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.format}: {case.kind}")
def test_a_file_of_this_kind_is_read_or_refused(case: Case) -> None:
    if isinstance(case.expected, str):
        with pytest.raises(ImageRefused) as refusal:
            read_image(case.make())
        assert str(refusal.value) == case.expected
        return
    pixels = read_image(case.make()).pixels
    assert pixels.shape == case.expected.shape
    assert np.abs(pixels.astype(int) - case.expected).mean() <= case.tolerance
    if case.expected.any():
        assert np.corrcoef(pixels.ravel(), case.expected.ravel())[0, 1] > 0.999


DCMTK = shutil.which("dcm2pnm")
# dcm2pnm shows padding and non-square pixels as they are, trusts the declared bits of a lookup table, reads neither
# small letters nor a rescale without intercept, and does not choose a window where there is none.
NOT_COMPARED = (
    *(
        "padding",
        "pixel",
        "that holds",
        "fewer entries",
        "a second VOI LUT item",
        "a modality LUT",
        "small letters",
    ),
    *("no window", "an empty window", "window width", "decimal comma", "in binary numbers", "below 1"),
    *("an empty rescale intercept", "4 bits", "end marker", "transfer syntax", "no preamble"),
)
COMPARED = [
    case
    for case in DICOM_CASES
    if not isinstance(case.expected, str) and not any(words in case.kind for words in NOT_COMPARED)
]


@pytest.mark.skipif(DCMTK is None, reason="dcmtk is not installed")
@pytest.mark.parametrize("case", COMPARED, ids=lambda case: case.kind)
def test_a_dicom_file_looks_as_in_dcmtk(case: Case, tmp_path: Path) -> None:
    source, target = tmp_path / "image.dcm", tmp_path / "image.png"
    source.write_bytes(case.make())
    for option in (["+Wl", "1"], ["+Wi", "1"], []):
        subprocess.run(["dcmj2pnm", "+on", *option, source, target], capture_output=True, check=False)
        if target.exists():
            break
    else:
        pytest.skip("dcm2pnm does not read this file")
    with Image.open(target) as image:
        reference = np.asarray(image.convert("L")).astype(int)
    pixels = read_image(source).pixels
    assert np.abs(pixels - reference).mean() < 2
    assert np.corrcoef(pixels.ravel(), reference.ravel())[0, 1] > 0.999


def test_the_table_of_the_documentation_is_up_to_date() -> None:
    """`python -m tests.intake_table` writes it; the first test compares each row with what the code does."""
    written = DOCUMENT.read_text(encoding="utf-8")
    assert table() == written[written.index(BEGIN) : written.index(END) + len(END)]

"""A small JPEG file cannot keep a processor busy: each scan costs a pass over all pixels."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from ml.data.images import ImageRefused, read_image

START_OF_SCAN, HUFFMAN_TABLE, END = b"\xff\xda", b"\xff\xc4", b"\xff\xd9"


def progressive(side: int, extra_scans: int = 0) -> bytes:
    """A progressive JPEG of one grey level, whose last refinement scan is repeated."""
    content = io.BytesIO()
    Image.fromarray(np.full((side, side), 90, np.uint8)).save(content, "JPEG", progressive=True)
    body = content.getvalue().removesuffix(END)
    last = body[body.rindex(START_OF_SCAN) :]
    table = body.rindex(HUFFMAN_TABLE)
    if table > body.rindex(START_OF_SCAN, 0, len(body) - len(last)):
        last = body[table:]
    return body + last * extra_scans + END


def test_a_small_file_with_many_large_scans_is_refused_at_once() -> None:
    bomb = progressive(8000, extra_scans=90)
    assert len(bomb) < 1_000_000
    started = time.process_time()
    with pytest.raises(ImageRefused, match="too many scans for its size"):
        read_image(bomb)
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("side", [64, 3000])
def test_ordinary_progressive_files_are_read(side: int) -> None:
    assert read_image(progressive(side)).width == side


def test_a_small_picture_may_have_many_scans() -> None:
    assert read_image(progressive(500, extra_scans=60)).height == 500

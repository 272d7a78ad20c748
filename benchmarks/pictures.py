"""The X-rays that benchmarks of uploads and answers use."""

import io
from pathlib import Path

from PIL import Image

from ml.data.images import read_image
from tests.ml.drawings import draw_bone

SIZES = {"640 x 640": (640, 640), "2000 x 2500": (2000, 2500)}
DISTINCT = 6


def pictures(folder: Path | None) -> list[Image.Image]:
    """Returns a few X-rays of a folder, or drawings of bones."""
    if folder is None:
        return [Image.fromarray(draw_bone(seed=seed, size=SIZES["2000 x 2500"])) for seed in range(DISTINCT)]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    return [Image.fromarray(read_image(path).pixels) for path in paths[:: max(1, len(paths) // DISTINCT)]]


def jpeg(picture: Image.Image) -> bytes:
    """Encodes a picture as a JPEG file."""
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=92)
    return content.getvalue()

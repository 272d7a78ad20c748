"""DICOM files of an unpacked zip -> their pictures: what else such a file says of a patient is not kept.

JPEG and PNG files stay as they were sent: by their checksums, models know the images that they learned from.
"""

import contextlib
from pathlib import Path

from classifier.core.leases import Lease
from classifier.datasets.zip_checks import ZipRefused
from ml.data import sandbox
from ml.data.image_limits import ImageRefused
from ml.data.images import encode_png, is_dicom


def replace_dicom(images: Path, lease: Lease) -> None:
    """One that cannot be read stays for the audit, which leaves it out and says why.

    Raises:
        ZipRefused: a picture's name is taken.
    """
    files = sorted(path for path in images.rglob("*") if path.is_file() and _is_dicom(path))
    if not files:
        return
    on_progress = lease.progress_callback("keep pictures only", len(files))
    for number, file in enumerate(files, start=1):
        picture = file.with_name(f"{file.name}.png")
        if picture.exists():
            raise ZipRefused(f"{file.name!a} and {picture.name!a} would become one picture.")
        with contextlib.suppress(ImageRefused):
            picture.write_bytes(encode_png(sandbox.read_image(file).pixels))
            file.unlink()
        on_progress(number)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file.read(200))

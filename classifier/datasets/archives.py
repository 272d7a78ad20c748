"""Stores data set versions: the images as one zip, and the manifest, named by its checksum and the version."""

import hashlib
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage

from classifier.core import storage
from classifier.datasets.models import DatasetVersion
from classifier.datasets.zip_intake import ZIP_ERRORS
from ml.data.manifests import Manifest
from ml.files import whole_folder

EPOCH = (1980, 1, 1, 0, 0, 0)


class ArchiveDamaged(Exception):
    """The stored files differ from those of this version."""


def store(
    version: DatasetVersion,
    manifest: Manifest,
    on_progress: Callable[[int], None],
    before_upload: Callable[[], None],
) -> tuple[str, str]:
    """Stores the manifest and its images. The same manifest always gives an identical zip.

    Args:
        version: the version, after which the files are named too: two workers may build the same images at once, and
            the one that is refused must not replace files of the other.
        manifest: the manifest, with its images on this host.
        on_progress: called with the number of packed images after each image.
        before_upload: called once, between packing and writing to the storage.

    Returns:
        The paths of the zip and of the manifest in the storage.
    """
    name = f"datasets/{manifest.checksum()}-{version.pk}"
    with tempfile.TemporaryDirectory(dir=_folder()) as aside:
        table, packed = Path(aside) / "manifest.csv", Path(aside) / "images.zip"
        manifest.write(table)
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo("manifest.csv", EPOCH), table.read_bytes())
            for number, item in enumerate(manifest.items, start=1):
                info = zipfile.ZipInfo(f"images/{item.path}", EPOCH)
                with manifest.file(item).open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target)
                on_progress(number)
        before_upload()
        return _save(packed, f"{name}.zip"), _save(table, f"{name}.csv")


def unpack(version: DatasetVersion, on_progress: Callable[[int], None]) -> Manifest:
    """Returns the version's manifest with its images on this host, unpacked into the cache and verified if needed.

    Raises:
        ArchiveDamaged: the stored files differ from those of this version.
    """
    cache = _folder() / str(version.checksum)
    if not cache.exists():
        with whole_folder(cache) as aside:
            _unpack(version, aside, on_progress)
    return Manifest.read(cache / "manifest.csv", cache / "images")


def read_manifest(version: DatasetVersion) -> Manifest:
    """Returns the version's manifest without loading its images."""
    with tempfile.TemporaryDirectory(dir=_folder()) as aside:
        table = Path(aside) / "manifest.csv"
        with default_storage.open(version.manifest) as file:
            table.write_bytes(file.read())
        return Manifest.read(table, Path(aside))


def read_image(version: DatasetVersion, path: str) -> bytes:
    """Returns the uploaded file of one image. Decode and re-encode it before showing it in a browser.

    Raises:
        KeyError: the version does not contain this image.
        ArchiveDamaged: it cannot be read.
    """
    try:
        with default_storage.open(version.archive) as file, zipfile.ZipFile(file) as archive:
            return archive.read(f"images/{PurePosixPath(path)}")
    except ZIP_ERRORS as error:
        raise ArchiveDamaged(f"The archive of data set {version.pk} cannot be read.") from error


def _unpack(version: DatasetVersion, aside: Path, on_progress: Callable[[int], None]) -> None:
    with default_storage.open(version.archive) as file, zipfile.ZipFile(file) as archive:
        archive.extract("manifest.csv", aside)
        manifest = Manifest.read(aside / "manifest.csv", aside / "images")
        if manifest.checksum() != version.checksum:
            raise ArchiveDamaged(
                f"The manifest of data set {version.pk} differs from the one that was stored."
            )
        for number, item in enumerate(manifest.items, start=1):
            content = archive.read(f"images/{item.path}")
            if hashlib.sha256(content).hexdigest() != item.sha256:
                raise ArchiveDamaged(
                    f"{item.path} of data set {version.pk} differs from the file that was stored."
                )
            manifest.file(item).parent.mkdir(parents=True, exist_ok=True)
            manifest.file(item).write_bytes(content)
            on_progress(number)


def _save(file: Path, path: str) -> str:
    default_storage.delete(path)  # Left by a process that was killed before it created the version.
    with file.open("rb") as content:
        return storage.save(path, File(content))


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Data set versions in the storage: the images as one zip, the manifest beside it, both named by its checksum."""

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
from ml.data.manifests import Manifest
from ml.files import whole_folder

EPOCH = (1980, 1, 1, 0, 0, 0)


class ArchiveDamaged(Exception):
    """The stored files are not the ones that became this version."""


def store(
    manifest: Manifest, tell: Callable[[int], None], before_sending: Callable[[], None]
) -> tuple[str, str]:
    """Put the manifest and its images into the storage; the paths of the zip and of the manifest.

    The same manifest gives the same zip, byte by byte. Tells how many images are packed, and when the
    packed ones are about to be sent.
    """
    checksum = manifest.checksum()
    with tempfile.TemporaryDirectory(dir=_folder()) as aside:
        table, packed = Path(aside) / "manifest.csv", Path(aside) / "images.zip"
        manifest.write(table)
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr(zipfile.ZipInfo("manifest.csv", EPOCH), table.read_bytes())
            for number, item in enumerate(manifest.items, start=1):
                info = zipfile.ZipInfo(f"images/{item.path}", EPOCH)
                with manifest.file(item).open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target)
                tell(number)
        before_sending()
        return _keep(packed, f"datasets/{checksum}.zip"), _keep(table, f"datasets/{checksum}.csv")


def unpack(version: DatasetVersion, tell: Callable[[int], None]) -> Manifest:
    """The version's manifest, its images on this host: from the cache, else unpacked and verified.

    Raises:
        ArchiveDamaged: the stored files are not the ones that became this version.
    """
    cache = _folder() / str(version.checksum)
    if not cache.exists():
        with whole_folder(cache) as aside:
            _unpack(version, aside, tell)
    return Manifest.read(cache / "manifest.csv", cache / "images")


def read_manifest(version: DatasetVersion) -> Manifest:
    """The version's manifest alone; its images are not on this host."""
    with tempfile.TemporaryDirectory(dir=_folder()) as aside:
        table = Path(aside) / "manifest.csv"
        with default_storage.open(version.manifest) as file:
            table.write_bytes(file.read())
        return Manifest.read(table, Path(aside))


def read_image(version: DatasetVersion, path: str) -> bytes:
    """One image of the version, as its file was sent. To be shown, it is decoded and encoded anew.

    Raises:
        KeyError: the version has no such image.
    """
    with default_storage.open(version.archive) as file, zipfile.ZipFile(file) as archive:
        return archive.read(f"images/{PurePosixPath(path)}")


def _unpack(version: DatasetVersion, aside: Path, tell: Callable[[int], None]) -> None:
    with default_storage.open(version.archive) as file, zipfile.ZipFile(file) as archive:
        archive.extract("manifest.csv", aside)
        manifest = Manifest.read(aside / "manifest.csv", aside / "images")
        if manifest.checksum() != version.checksum:
            raise ArchiveDamaged(f"The manifest of data set {version.pk} is not the one that was stored.")
        for number, item in enumerate(manifest.items, start=1):
            content = archive.read(f"images/{item.path}")
            if hashlib.sha256(content).hexdigest() != item.sha256:
                raise ArchiveDamaged(f"{item.path} of data set {version.pk} is not the file that was stored.")
            manifest.file(item).parent.mkdir(parents=True, exist_ok=True)
            manifest.file(item).write_bytes(content)
            tell(number)


def _keep(file: Path, path: str) -> str:
    default_storage.delete(path)  # What a process left there that was killed before the version was made.
    with file.open("rb") as content:
        return storage.keep(path, File(content))


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "datasets"
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Stores each model bundle as one zip, and unpacks it into a local cache from which workers load it."""

import shutil
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage

from classifier.core import storage
from classifier.registry.models import ModelVersion
from ml.serve.bundle import Bundle, BundleCorrupt, open_bundle


def store(bundle: Bundle) -> str:
    """Stores the bundle under its checksum and returns its path in the storage."""
    path = f"models/{bundle.checksum}.zip"
    if ModelVersion.objects.filter(checksum=bundle.checksum).exists():
        return path
    default_storage.delete(path)  # Left by a process that was killed before it created the version.
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(bundle.path.iterdir()):
            archive.write(file, file.name)
    return storage.save(path, content.getvalue())


def fetch(version: ModelVersion) -> Bundle:
    """Returns the version's bundle on this host, unpacked into the cache if needed, after verifying its checksum.

    Raises:
        BundleCorrupt: the files differ from the ones that were registered.
    """
    cache = settings.DATA_DIR / "models" / version.checksum
    if not cache.exists():
        _unpack(version, cache)
    bundle = open_bundle(cache)
    if bundle.checksum != version.checksum:
        raise BundleCorrupt(
            f"Model {version.number} should have the checksum {version.checksum}, but has {bundle.checksum}."
        )
    return bundle


def _unpack(version: ModelVersion, cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=cache.parent))
    try:
        with default_storage.open(str(version.archive)) as file, zipfile.ZipFile(file) as archive:
            archive.extractall(aside)  # written by store(), and verified when opened
        aside.rename(cache)
    except OSError:
        if not cache.exists():
            raise
        # Another worker was faster.
    finally:
        shutil.rmtree(aside, ignore_errors=True)

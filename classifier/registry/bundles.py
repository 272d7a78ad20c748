"""Stores each model bundle as one zip, and unpacks it into a local cache from which workers load it."""

import zipfile
from io import BytesIO

from django.conf import settings
from django.core.files.storage import default_storage

from classifier.core import storage
from classifier.registry.models import ModelVersion
from ml.files import whole_folder
from ml.serve.bundle import Bundle, BundleCorrupt, open_bundle


def store(bundle: Bundle) -> str:
    """Stores the bundle under its checksum and returns its path in the storage."""
    path = f"models/{bundle.checksum}.zip"
    if ModelVersion.objects.filter(checksum=bundle.checksum).exists():
        return path
    default_storage.delete(path)  # Left by a process that was killed before it created the version.
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(bundle.path.rglob("*")):
            archive.write(file, file.relative_to(bundle.path))
    return storage.save(path, content.getvalue())


def fetch(version: ModelVersion) -> Bundle:
    """Returns the version's bundle on this host, unpacked into the cache if needed, after verifying its checksum.

    Raises:
        BundleCorrupt: the files differ from the ones that were registered.
    """
    cache = settings.DATA_DIR / "models" / version.checksum
    if not cache.exists():
        with (
            whole_folder(cache) as aside,
            default_storage.open(str(version.archive)) as file,
            zipfile.ZipFile(file) as archive,
        ):
            archive.extractall(aside)  # our own zip, verified by checksum when opened
    bundle = open_bundle(cache)
    if bundle.checksum != version.checksum:
        raise BundleCorrupt(
            f"Model {version.number} should have the checksum {version.checksum}, but has {bundle.checksum}."
        )
    return bundle

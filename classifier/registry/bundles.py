"""Model bundles in the storage, as one zip each, and unpacked in a local cache where workers load them."""

import zipfile
from io import BytesIO

from django.conf import settings
from django.core.files.storage import default_storage

from classifier.core import storage
from classifier.registry.models import ModelVersion
from ml.files import whole_folder
from ml.serve.bundle import Bundle, BundleCorrupt, open_bundle


def store(bundle: Bundle) -> str:
    """Put the bundle into the storage under its checksum; the path it has there."""
    path = f"models/{bundle.checksum}.zip"
    if ModelVersion.objects.filter(checksum=bundle.checksum).exists():
        return path
    default_storage.delete(path)  # What a process left there that was killed before the version was made.
    content = BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(bundle.path.iterdir()):
            archive.write(file, file.name)
    return storage.keep(path, content.getvalue())


def fetch(version: ModelVersion) -> Bundle:
    """The version's bundle on this host: from the cache, else unpacked from the storage; verified either way.

    Raises:
        BundleCorrupt: the files are not the ones that became this version.
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
        raise BundleCorrupt(f"Model {version.number} should be {version.checksum}, found {bundle.checksum}.")
    return bundle

"""X-rays that are removed for good."""

from collections.abc import Iterable
from functools import partial

from django.core.files.storage import default_storage
from django.db import transaction

from classifier.models import Radiograph


def remove_radiographs(radiographs: Iterable[Radiograph]) -> None:
    """Rows with predictions and reviews first, then files. A worker that holds one finds nothing to write to.

    A kill between rows and files leaves orphans, which the purge finds.
    """
    with transaction.atomic():
        for radiograph in radiographs:
            radiograph.delete()
            for file in (radiograph.image, radiograph.thumbnail):
                transaction.on_commit(partial(default_storage.delete, str(file)))

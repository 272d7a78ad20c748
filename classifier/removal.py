"""X-rays that are removed for good."""

from collections.abc import Iterable
from functools import partial
from itertools import islice

from django.core.files.storage import default_storage
from django.db import transaction

from classifier.models import Radiograph

AT_ONCE = 500


def remove_radiographs(radiographs: Iterable[Radiograph]) -> None:
    """Rows with predictions and reviews first, then files. A worker that holds one finds nothing to write to.

    A kill between rows and files leaves orphans, which the purge finds.
    """
    remaining = iter(radiographs)
    with transaction.atomic():
        while some := list(islice(remaining, AT_ONCE)):
            Radiograph.objects.filter(id__in=[radiograph.id for radiograph in some]).delete()
            for radiograph in some:
                for file in (radiograph.image, radiograph.thumbnail):
                    transaction.on_commit(partial(default_storage.delete, str(file)))

"""Empties the trash and removes orphaned files: what the retention promises, once a day."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import islice

from django.conf import settings
from django.core.files.storage import default_storage
from django.utils import timezone

from classifier.core.models import AuditEntry, WriteCount
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import delete_radiographs
from portal.operations import stored_files

log = logging.getLogger(__name__)
AT_ONCE = 200
DAY_SECONDS = 24 * 3600.0
# A file is written before its row: one without a row may be on its way, but not for a day.
ORPHAN_AFTER = timedelta(days=1)


@dataclass
class Purged:
    """What one purge removed."""

    radiographs: int = 0
    orphans: int = 0


def purge() -> Purged:
    """Remove for good what has been in the trash for TRASH_DAYS, and files that no row names; say what was done."""
    WriteCount.objects.past(DAY_SECONDS).delete()
    done = Purged(radiographs=empty_trash(), orphans=_remove_orphans())
    log.info("purged", extra=asdict(done))
    if done != Purged():
        AuditEntry.objects.create(
            action="purged",
            subject="trash",
            subject_name=f"{done.radiographs} X-rays, {done.orphans} orphaned files",
            detail=asdict(done),
        )
    return done


def empty_trash() -> int:
    number = 0
    until = timezone.now() - timedelta(days=settings.TRASH_DAYS)
    while due := list(Radiograph.objects.filter(deleted_at__lte=until).order_by("deleted_at")[:AT_ONCE]):
        delete_radiographs(due)
        number += len(due)
    return number


def _remove_orphans() -> int:
    number = 0
    old = _old_files()
    while some := list(islice(old, AT_ONCE)):
        for path in set(some) - stored_files.named(some):
            default_storage.delete(path)
            number += 1
    return number


def _old_files() -> Iterator[str]:
    until = timezone.now() - ORPHAN_AFTER
    for path in stored_files.all_in_storage():
        try:
            is_old = default_storage.get_modified_time(path) < until
        except FileNotFoundError:
            continue
        if is_old:
            yield path

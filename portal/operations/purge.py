"""Deletes expired X-rays from the trash and orphaned files once a day."""

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import islice

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.files.storage import default_storage
from django.utils import timezone
from knox.models import AuthToken

from classifier.core.models import AuditEntry, WriteCount
from classifier.radiographs.models import Radiograph
from classifier.radiographs.services import delete_radiographs
from classifier.training.jobs.recalibrate import remove_leftovers
from portal.operations import stored_files

log = logging.getLogger(__name__)
BATCH_SIZE = 200
DAY_SECONDS = 24 * 3600.0
# A file is written before its row, so only files older than a day are orphans.
ORPHAN_AFTER = timedelta(days=1)
# The account page says for a while that a token has expired.
KEEP_EXPIRED_TOKENS = timedelta(days=30)


@dataclass
class Purged:
    """The numbers of deleted X-rays and files."""

    radiographs: int = 0
    orphans: int = 0


def purge() -> Purged:
    """Deletes X-rays that have been in the trash for TRASH_DAYS, and orphaned files. Returns the numbers.

    Also deletes the copies of X-rays that a recalibration left on this host, and expired sessions.
    """
    WriteCount.objects.expired(DAY_SECONDS).delete()
    remove_leftovers()
    _remove_expired_sessions()
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
    """Deletes X-rays that have been in the trash for TRASH_DAYS, and returns their number."""
    number = 0
    until = timezone.now() - timedelta(days=settings.TRASH_DAYS)
    expired = Radiograph.objects.filter(deleted_at__lte=until)
    while due := list(expired.order_by("deleted_at")[:BATCH_SIZE]):
        number += delete_radiographs(due, among=expired)
    return number


def _remove_expired_sessions() -> None:
    Session.objects.filter(expire_date__lt=timezone.now()).delete()
    UserSession.objects.exclude(session_key__in=Session.objects.values("session_key")).delete()
    AuthToken.objects.filter(expiry__lt=timezone.now() - KEEP_EXPIRED_TOKENS).delete()


def _remove_orphans() -> int:
    number = 0
    old = _old_files()
    while batch := list(islice(old, BATCH_SIZE)):
        for path in set(batch) - stored_files.referenced_among(batch):
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

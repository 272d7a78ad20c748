from functools import partial
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import models, transaction

from classifier.core.models import AuditEntry, Notification, QueuedWork, QueuedWorkQuerySet
from classifier.core.notifications import notify


class DatasetVersionQuerySet(QueuedWorkQuerySet["DatasetVersion"]):
    def succeeded(self) -> "DatasetVersionQuerySet":
        return self.filter(state="succeeded")

    def newest(self) -> "DatasetVersion | None":
        # Without what is long: a page with a review form asks.
        return self.succeeded().defer("report", "samples").order_by("-id").first()

    def newest_classes(self) -> list[str]:
        newest = self.newest()
        return list(newest.classes) if newest else []


class DatasetVersion(QueuedWork):
    """An immutable list of labelled images with a frozen split; its id is its number.

    It comes of an uploaded zip, or of an earlier version and reviewed radiographs. Its images lie in the
    storage as one zip, named by the manifest's checksum. An image that was once a test image stays one:
    `parent` is the version that this one took the split over from.
    """

    class Source(models.TextChoices):
        ZIP = "zip", "uploaded zip"
        REVIEWS = "reviews", "reviewed X-rays"

    queue = "train"

    source = models.CharField(max_length=10, choices=Source.choices)
    parent = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.PROTECT, related_name="children"
    )
    note = models.CharField(max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    # The zip as it was sent, in the storage until it is audited.
    upload = models.CharField(max_length=200, blank=True)
    upload_name = models.CharField(max_length=200, blank=True)
    # Whether its classes may differ from those of the version before.
    new_classes = models.BooleanField(default=False)

    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)

    # Of the manifest; empty until succeeded.
    checksum = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - several may have none yet
    archive = models.CharField(max_length=200, blank=True)
    manifest = models.CharField(max_length=200, blank=True)
    # Of the test part alone: models evaluated on the same test images have the same.
    test_checksum = models.CharField(max_length=64, blank=True)
    classes = models.JSONField(default=list)
    # {"train": {class: images}, "validation": ..., "test": ...}
    counts = models.JSONField(default=dict)
    # {class: some paths of its images}, for a look.
    samples = models.JSONField(default=dict)
    # What the audit found: report.json of `python -m ml audit`.
    report = models.JSONField(default=dict)
    # What became of the reviewed radiographs: {"added": n, "disagreement": n, ...}
    reviewed = models.JSONField(default=dict)

    objects = DatasetVersionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Data set {self.pk}"

    def conclude(self, state: str, error: str = "") -> None:
        AuditEntry.objects.record(actor=None, action="data set refused", about=self, error=error)
        self.notify_creator(f"{self} could not be made. {error}")
        self.delete_upload()

    def notify_creator(self, text: str) -> None:
        notify(self.created_by, text, Notification.Subject.DATASET_VERSION, self.pk)

    def delete_upload(self) -> None:
        """Delete the zip once the transaction is committed; the version no longer needs it."""
        if self.upload:
            transaction.on_commit(partial(default_storage.delete, self.upload))

    @property
    def num_images(self) -> int:
        return sum(self.num_by_split.values())

    @property
    def num_by_split(self) -> dict[str, int]:
        counts: dict[str, dict[str, int]] = self.counts
        return {split: sum(by_class.values()) for split, by_class in counts.items()}

    @property
    def class_balance(self) -> list[dict[str, Any]]:
        """A row a class: its images in each part and in all."""
        rows = []
        for name in self.classes:
            by_split = {split: by_class.get(name, 0) for split, by_class in self.counts.items()}
            rows.append({"class": name, **by_split, "all": sum(by_split.values())})
        return rows

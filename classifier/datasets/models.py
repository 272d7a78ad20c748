"""Data set versions."""

from typing import Any

from django.conf import settings
from django.db import models

from classifier.core.models import AuditEntry, Notification
from classifier.core.notifications import notify
from classifier.core.queued_work import QueuedWork, QueuedWorkQuerySet
from classifier.core.storage import delete_on_commit


class DatasetVersionQuerySet(QueuedWorkQuerySet["DatasetVersion"]):
    """Selects data set versions."""

    def succeeded(self) -> "DatasetVersionQuerySet":
        """Filters versions that are ready for training."""
        return self.filter(state="succeeded")

    def newest(self) -> "DatasetVersion | None":
        """Returns the newest version that is ready for training, or None."""
        # Every page with a review form runs this query, so the large JSON columns are deferred.
        return self.succeeded().defer("report", "samples").order_by("-id").first()

    def newest_classes(self) -> list[str]:
        """Lists the classes of the newest version that has some and is ready for training."""
        newest = self.with_classes().newest()
        return list(newest.classes) if newest else []

    def with_classes(self) -> "DatasetVersionQuerySet":
        """Filters versions with images of a known kind of fracture."""
        return self.exclude(classes=[])


class DatasetVersion(QueuedWork):
    """A row is an immutable set of labeled images with a frozen split. Its id is its version number.

    Of an image, the kind of fracture (class) is known, or whether it is fractured, with boxes and body part, or both.
    It is made from an uploaded zip, or from an earlier version and reviewed radiographs. The storage holds its images
    as one zip, named by the checksum of the manifest. A test image stays a test image in later versions: `parent` is
    the version from which this one inherits the split.
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
    # Path of the uploaded zip, which is stored until it has been audited.
    upload = models.CharField(max_length=200, blank=True)
    upload_name = models.CharField(max_length=200, blank=True)
    # Whether the classes may differ from those of the previous version.
    new_classes = models.BooleanField(default=False)

    phase = models.CharField(max_length=40, blank=True)
    step = models.PositiveIntegerField(default=0)
    steps = models.PositiveIntegerField(default=0)

    # Checksum of the manifest; None until the version has succeeded.
    checksum = models.CharField(max_length=64, null=True, unique=True)  # noqa: DJ001 - unique, so unfinished versions need NULL
    archive = models.CharField(max_length=200, blank=True)
    manifest = models.CharField(max_length=200, blank=True)
    # Checksum of the test images: equal checksums mean that two models were evaluated on the same images.
    test_checksum = models.CharField(max_length=64, blank=True)
    classes = models.JSONField(default=list)
    # {"train": {class: images}, "validation": ..., "test": ...}; images without a class count as ml's NO_KIND.
    counts = models.JSONField(default=dict)
    # Images whose finding is known, by split: {"train": {"fractured": n, "unfractured": n, "with_boxes": n,
    # "groups": n}, ...}; empty if there are none.
    findings = models.JSONField(default=dict)
    # {class: paths of sample images}
    samples = models.JSONField(default=dict)
    # Audit report: report.json of `python -m ml audit`.
    report = models.JSONField(default=dict)
    # Number of reviewed radiographs by outcome: {"used": n, "reviewers_disagree": n, ...}
    reviewed = models.JSONField(default=dict)
    # Number of used reviewed radiographs by split; empty without reviews.
    reviewed_splits = models.JSONField(default=dict)
    # Test images of the parent: {"kept": n, "gone": {reason: n}}; empty without a parent.
    frozen_test = models.JSONField(default=dict)

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
            delete_on_commit(self.upload)
            # If the zip cannot be deleted now, the purge deletes it, because no row refers to it.
            DatasetVersion.objects.filter(pk=self.pk).update(upload="")

    @property
    def num_images(self) -> int:
        """Returns the number of images in all splits."""
        return sum(self.num_by_split.values())

    @property
    def num_by_split(self) -> dict[str, int]:
        """Returns the number of images by split."""
        counts: dict[str, dict[str, int]] = self.counts
        return {split: sum(by_class.values()) for split, by_class in counts.items()}

    @property
    def finding_rows(self) -> list[dict[str, Any]]:
        """Returns a row per split with its name and the number of images whose finding is known."""
        return [{"split": split, **numbers} for split, numbers in self.findings.items()]

    @property
    def class_balance(self) -> list[dict[str, Any]]:
        """Returns a row per class with the number of images in each split and in total."""
        rows = []
        for name in self.classes:
            by_split = {split: by_class.get(name, 0) for split, by_class in self.counts.items()}
            rows.append({"class": name, **by_split, "all": sum(by_split.values())})
        return rows

"""What earlier data set versions fix for later ones: the side of each image, and the test images."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from classifier.datasets import archives
from classifier.datasets.models import DatasetVersion
from classifier.datasets.reviewed_images import LeftOut, is_reviewed_image, radiograph_id_of
from ml.data.manifests import Item, Manifest

DELETED = "deleted"
NOT_IN_ZIP = "not_in_the_zip"


def earlier_items(before: int | None = None) -> list[Item]:
    """Lists all images that were ever in a data set version, each on the side that it was on last.

    A test image that one version lacks is still a test image when it comes back.

    Args:
        before: a version's id; later versions are not read. None reads all.
    """
    items: dict[str, Item] = {}
    versions = DatasetVersion.objects.succeeded().order_by("-id")
    for version in versions if before is None else versions.filter(id__lt=before):
        for item in archives.read_manifest(version).items:
            path, group = f"{version.pk}/{item.path}", f"{version.pk}-{item.group}"
            items.setdefault(item.sha256, replace(item, path=path, group=group))
    return list(items.values())


def count_frozen(test: Iterable[Item], kept: set[str], reasons: dict[str, str]) -> dict[str, Any]:
    """Counts the test images of an earlier version that a later one keeps, and why the others are gone.

    Args:
        test: the test images of the earlier version.
        kept: paths of those that are kept.
        reasons: why an image is gone, by its path; images of X-rays that no longer exist may be missing.

    Returns:
        {"kept": n, "gone": {reason: n}}
    """
    gone = Counter(reasons.get(item.path, DELETED) for item in test if item.path not in kept)
    return {"kept": sum(item.path in kept for item in test), "gone": dict(sorted(gone.items()))}


def reasons_gone(test: Iterable[Item], left_out: dict[Any, Any], otherwise: str) -> dict[str, str]:
    """Returns why a test image would be gone, by its path: a reviewed one because its X-ray is left out."""
    reasons = {}
    for item in test:
        if is_reviewed_image(item.path):
            reason = left_out.get(radiograph_id_of(item.path))
            if reason is not None:
                reasons[item.path] = str(reason)
        else:
            reasons[item.path] = otherwise
    return reasons


def frozen_outcome(
    parent: Manifest, made: Manifest, report: dict[str, Any], left_out: dict[Any, Any], *, is_zip: bool
) -> dict[str, Any]:
    """Counts the test images of `parent` that are test images of the version that was made from it.

    Args:
        parent: manifest of the earlier version.
        made: manifest of the new version.
        report: report of its audit.
        left_out: why reviewed radiographs were left out, by id.
        is_zip: whether the new version was made from a zip.
    """
    test = parent.subset("test")
    tested = {item.sha256 for item in made.subset("test")}
    reasons = reasons_gone(test, left_out, NOT_IN_ZIP if is_zip else LeftOut.CONFLICT)
    reasons |= {str(entry["path"]): str(LeftOut.UNREADABLE) for entry in report.get("unreadable") or []}
    for entries in report.get("conflicts") or []:
        reasons |= {str(entry["path"]): str(LeftOut.CONFLICT) for entry in entries}
    return count_frozen(test, {item.path for item in test if item.sha256 in tested}, reasons)

"""Finds the files that rows refer to. All other files are orphans."""

from collections.abc import Iterator

from django.core.files.storage import default_storage
from django.db import models

from classifier.datasets.models import DatasetVersion
from classifier.radiographs.models import Radiograph
from classifier.registry.models import ModelVersion

FIELDS: dict[type[models.Model], tuple[str, ...]] = {
    Radiograph: ("image", "thumbnail"),
    ModelVersion: ("archive",),
    DatasetVersion: ("upload", "archive", "manifest"),
}

FOLDERS = ("radiographs", "thumbnails", "models", "datasets", "probes")


def referenced_paths() -> Iterator[str]:
    """Yields the path of every file that a row refers to. A path can occur more than once."""
    for model, fields in FIELDS.items():
        for row in model._default_manager.values_list(*fields).iterator():
            yield from (str(path) for path in row if path)


def referenced_among(candidates: list[str]) -> set[str]:
    """Returns the candidates that a row refers to."""
    found: set[str] = set()
    for model, fields in FIELDS.items():
        for field in fields:
            rows = model._default_manager.filter(**{f"{field}__in": candidates})
            found.update(str(path) for path in rows.values_list(field, flat=True))
    return found


def all_in_storage() -> Iterator[str]:
    """Yields every file in the folders of Callus. Other files in a shared bucket are ignored."""
    for folder in FOLDERS:
        yield from _below(folder)


def _below(folder: str) -> Iterator[str]:
    try:
        folders, files = default_storage.listdir(folder)
    except FileNotFoundError:
        return
    yield from (f"{folder}/{name}" for name in files if name)
    for name in folders:
        yield from _below(f"{folder}/{name}")

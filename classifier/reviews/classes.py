"""The classes of fracture that a reviewer may choose from."""

from collections.abc import Callable, Iterable

from classifier.radiographs.models import Prediction

_sources: list[Callable[[], Iterable[str]]] = []


def add_source(source: Callable[[], Iterable[str]]) -> None:
    """Register further classes. A subject above reviews calls this when Django starts (AppConfig.ready)."""
    _sources.append(source)


def reviewable_classes(prediction: Prediction) -> list[str]:
    """Lists the classes of the model that answered, and those of the registered sources, in alphabetical order."""
    return sorted({*prediction.model_version.classes, *(name for source in _sources for name in source())})

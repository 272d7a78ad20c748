"""The fracture classes that a reviewer can choose from."""

from collections.abc import Callable, Iterable

from classifier.radiographs.models import Prediction

_sources: list[Callable[[], Iterable[str]]] = []


def add_source(source: Callable[[], Iterable[str]]) -> None:
    """Registers a source of further classes. Apps that depend on reviews call this in AppConfig.ready()."""
    _sources.append(source)


def reviewable_classes(prediction: Prediction) -> list[str]:
    """Lists the classes of the predicting model and of all registered sources in alphabetical order."""
    return sorted({*prediction.model_version.classes, *(name for source in _sources for name in source())})

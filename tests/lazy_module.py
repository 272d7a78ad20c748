"""Modules that import TensorFlow, imported by the tests that use them and not when pytest collects tests."""

import importlib
from typing import Any


class LazyModule:
    """A module that is imported when one of its attributes is first used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        # While it collects tests, pytest reads __test__, _mock_name and others of everything in a module.
        if attribute.startswith("_"):
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)

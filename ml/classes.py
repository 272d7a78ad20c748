"""The ten kinds of fracture that the shipped model tells apart, spelled as the data set's folders.

A bundle's card carries its own list of classes, and that list counts: a model trained on another
data set has other classes.
"""

from __future__ import annotations

FRACTURE_CLASSES: tuple[str, ...] = (
    "Avulsion fracture",
    "Comminuted fracture",
    "Fracture Dislocation",
    "Greenstick fracture",
    "Hairline Fracture",
    "Impacted fracture",
    "Longitudinal fracture",
    "Oblique fracture",
    "Pathological fracture",
    "Spiral Fracture",
)


def display_name(class_name: str) -> str:
    """Returns the class as people read it, in sentence case: "Spiral Fracture" -> "Spiral fracture"."""
    return class_name[:1].upper() + class_name[1:].lower()

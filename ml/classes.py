"""The kinds of fracture of the shipped model, and how kinds are shown."""

from __future__ import annotations

# Spelled like the folders of the data set. Other models have other classes: a bundle's card lists them.
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

# An answer lists at most this many likely kinds of fracture.
MAX_KINDS = 3


def display_name(class_name: str) -> str:
    """Returns a class name in sentence case: "Spiral Fracture" -> "Spiral fracture"."""
    return class_name[:1].upper() + class_name[1:].lower()

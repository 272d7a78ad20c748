"""Measures an epoch of the recipe seed_cnn against Keras's own training loop."""

from __future__ import annotations

from pathlib import Path

from benchmarks.performance.contenders import EPOCH_IMAGES
from benchmarks.performance.turns import Figures, measure
from benchmarks.tables import table

NAMES = {
    "train_callus": "Callus: the recipe `seed_cnn`",
    "train_keras": "Keras: `model.fit` of the same network",
    "train_convolutions": "its convolutions alone, forward and backward",
}
MAX_TIME = 1 / 2


def measure_training(folder: Path, images: int, rounds: int) -> dict[str, Figures]:
    """Measures epochs of all contenders.

    Args:
        folder: Folder for checkpoints.
        images: Images of an epoch.
        rounds: Epochs of each contender.
    """
    return measure(list(NAMES), folder, [""], rounds, {EPOCH_IMAGES: str(images)})


def training_table(found: dict[str, Figures], steps: int) -> str:
    """Returns the table of all contenders, with ratios to Keras."""
    base = found["train_keras"]
    rows = [
        [
            title,
            *(f"{figures.median / 1000 / steps:.2f}", f"{figures.median / base.median:.2f}"),
            *(f"{min(figures.ms) / 1000 / steps:.2f}", f"{min(figures.ms) / min(base.ms):.2f}"),
            *(f"{figures.cpu / 1000 / steps:.2f}", f"{figures.cpu / base.cpu:.2f}"),
        ]
        for title, figures in ((title, found[name]) for name, title in NAMES.items())
    ]
    header = [
        "seconds of a step of ten images",
        *("median", "ratio", "fastest epoch", "ratio", "processor time", "ratio"),
    ]
    return table(header, rows)

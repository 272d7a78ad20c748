"""Fixtures: a data set of drawn X-rays, and a small model that is trained on it once per session."""

from __future__ import annotations

import fcntl
import hashlib
from pathlib import Path

import numpy as np
import pytest

from ml.data.manifests import Item, Manifest, Split
from ml.serve.bundle import Bundle, open_bundle
from tests.ml.drawings import write_data_set


def split_of(number: int) -> Split:
    return "test" if number < 3 else "validation" if number < 9 else "train"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """60 drawn X-rays of two classes, in groups of three."""
    root = tmp_path_factory.mktemp("drawn")
    items = []
    for path in write_data_set(root, kinds=("Transverse", "Comminuted"), each=30, size=(112, 112)):
        number = int(path.stem)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        group, label = f"{path.parent.name}-{number // 3}", path.parent.name
        items.append(
            Item(path.relative_to(root).as_posix(), sha256, 112, 112, label, group, split_of(number))
        )
    return Manifest.of(root, items)


@pytest.fixture(scope="session")
def tiny_bundle(drawn: Manifest, run_folder: Path) -> Bundle:
    """The bundle of the recipe "tiny", trained on the drawn X-rays by the first process that needs it."""
    from ml.networks.recipes import RECIPES
    from ml.train.cross_validation import RunOptions
    from ml.train.release import train

    folder = run_folder / "tiny"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / "bundle").exists():
            return open_bundle(folder / "bundle")
        return train(RECIPES["tiny"], drawn, folder / "bundle", RunOptions(folder / "work"))


@pytest.fixture(scope="session")
def drawn_pixels(drawn: Manifest) -> list[np.ndarray]:
    """The pixels of the drawn X-rays, in the manifest's order."""
    from ml.data.images import read_image

    return [read_image(drawn.file(item)).pixels for item in drawn.items]

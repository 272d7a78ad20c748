"""The answers of one bundle for the test images of a manifest: predicted once, saved, and read again."""

from __future__ import annotations

import hashlib
import io
import json
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.data.image_limits import ImageRefused
from ml.data.images import read_image
from ml.data.manifests import DatasetRefused, Item, Manifest
from ml.progress import ProgressCallback, ProgressEvent, RemainingTime
from ml.serve.bundle import TRAINING_IMAGES, Bundle
from ml.serve.calibration import softmax
from ml.serve.inference import Engine, Prediction, Predictor

FILE = "answers.npz"
FORMAT_VERSION = 1
COLUMNS = ("path", "sha256", "label", "group", "width", "height")


@dataclass(frozen=True, eq=False)
class Answers:
    """One bundle's answers for n test images and k classes.

    Attributes:
        checksum: the model version, the bundle's hex SHA-256.
        card: the bundle's card: classes, calibration, recipe, training.
        items: the n images in the manifest's order.
        probabilities: (n, k) float64, calibrated, classes in the card's order; rows sum to 1.
        sets: (n, k) bool, whether the class is in the prediction set.
        abstained: (n,) bool, whether the confidence is below the threshold of the card.
        in_distribution: (n,) bool, whether the image is like those trained on.
        trained_on: (n,) bool, whether the model was trained or calibrated on the image; None if the
            bundle does not say.
        milliseconds: (n,) float64, time of each prediction without reading the file.
    """

    checksum: str
    card: dict[str, Any]
    items: list[Item]
    probabilities: NDArray[np.float64]
    sets: NDArray[np.bool_]
    abstained: NDArray[np.bool_]
    in_distribution: NDArray[np.bool_]
    trained_on: NDArray[np.bool_] | None
    milliseconds: NDArray[np.float64]

    @property
    def classes(self) -> list[str]:
        return list(self.card["classes"])

    @cached_property
    def groups(self) -> list[str]:
        return [item.group for item in self.items]

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """The true class of each image as its place in classes, (n,)."""
        place = {name: number for number, name in enumerate(self.classes)}
        return np.array([place[item.label] for item in self.items], np.int64)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class of each image as its place in classes, (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def uncalibrated(self) -> NDArray[np.float64]:
        """The probabilities before temperature scaling, which divides logits and can be undone, (n, k)."""
        temperature = float(self.card["calibration"]["temperature"])
        return softmax(np.log(np.maximum(self.probabilities, 1e-30)) * temperature)

    @property
    def num_trained_on(self) -> int | None:
        """Number of test images that the model was trained or calibrated on; None if it does not say."""
        return None if self.trained_on is None else int(self.trained_on.sum())

    def select(self, items: Sequence[Item]) -> Answers:
        """Returns the answers for these images, with their labels and groups.

        Raises:
            DatasetRefused: there is no image, one has no answer, or a label is not a class of the model.
        """
        _check_items(items, self.classes)
        row_of = {(item.path, item.sha256): row for row, item in enumerate(self.items)}
        missing = [item.path for item in items if (item.path, item.sha256) not in row_of]
        if missing:
            raise DatasetRefused(f"The answers of model {self.checksum[:12]} do not include {missing[0]}.")
        rows = [row_of[item.path, item.sha256] for item in items]
        return replace(
            self,
            items=list(items),
            probabilities=self.probabilities[rows],
            sets=self.sets[rows],
            abstained=self.abstained[rows],
            in_distribution=self.in_distribution[rows],
            trained_on=None if self.trained_on is None else self.trained_on[rows],
            milliseconds=self.milliseconds[rows],
        )

    def restricted_to(self, classes: Sequence[str]) -> Answers:
        """Returns the answers for the images of these classes, with probabilities among these that sum to 1.

        An image for which the model gives none of these classes a probability gets equal ones.
        """
        if list(classes) == self.classes:
            return self
        kept = self.select([item for item in self.items if item.label in classes])
        columns = [self.classes.index(name) for name in classes]
        chosen = kept.probabilities[:, columns]
        total = chosen.sum(axis=1, keepdims=True)
        equal = np.full_like(chosen, 1 / len(classes))
        return replace(
            kept,
            card={**self.card, "classes": list(classes)},
            probabilities=np.divide(chosen, total, out=equal, where=total > 0),
            sets=kept.sets[:, columns],
        )

    def save(self, path: Path) -> None:
        """Writes the answers to a NumPy archive, which `load` reads.

        Its arrays: path, sha256, label, group (n,) str; width, height (n,) int; the attributes above;
        and about, a JSON object with the model's checksum and card. A file that was there is replaced
        as a whole.
        """
        about = {"format_version": FORMAT_VERSION, "checksum": self.checksum, "card": self.card}
        arrays: dict[str, Any] = {
            name: np.array([getattr(item, name) for item in self.items]) for name in COLUMNS
        }
        arrays |= {name: getattr(self, name) for name in ARRAYS if getattr(self, name) is not None}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, about=json.dumps(about, ensure_ascii=False), **arrays)
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f".{path.name}-part")
        aside.write_bytes(buffer.getvalue())
        aside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Answers:
        """Reads answers that `save` wrote.

        Raises:
            DatasetRefused: the file cannot be read, or does not hold answers in this format.
        """
        try:
            with np.load(path, allow_pickle=False) as saved:
                about = json.loads(str(saved["about"]))
                version, checksum, card = (about[name] for name in ("format_version", "checksum", "card"))
                columns = [saved[name].tolist() for name in COLUMNS]
                items = [
                    Item(**dict(zip(COLUMNS, row, strict=True)), split="test")
                    for row in zip(*columns, strict=True)
                ]
                arrays = {name: saved.get(name) for name in ARRAYS}
        except OSError as error:
            raise DatasetRefused(f"The answers {path} cannot be read: {error}") from error
        except (KeyError, TypeError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise DatasetRefused(f"{path} is not a file of answers written by `evaluate`.") from error
        if version != FORMAT_VERSION:
            raise DatasetRefused(
                f"The answers {path} have format version {version}; this version reads {FORMAT_VERSION}."
            )
        return cls(checksum=checksum, card=card, items=items, **arrays)


ARRAYS = tuple(field.name for field in fields(Answers) if field.name not in ("checksum", "card", "items"))


def predict_test_images(
    bundle: Bundle,
    manifest: Manifest,
    on_progress: ProgressCallback = lambda event: None,
    *,
    engine: Engine = "auto",
    phase: str = "evaluate",
) -> Answers:
    """Predicts every test image of the manifest with the Predictor that serves.

    Args:
        phase: the name of this work in the events.

    Raises:
        DatasetRefused: there is no test image, the bundle does not know a class, or an image is not
            the one that the manifest lists.
    """
    items = manifest.subset("test")
    _check_items(items, bundle.classes)
    predictor = Predictor(bundle, engine)
    remaining = RemainingTime(len(items))
    predictions: list[Prediction] = []
    milliseconds = []
    for number, item in enumerate(items, start=1):
        pixels = _read(manifest, item)
        if number == 1:
            # The first run allocates memory and is much slower than the others.
            predictor.predict([pixels])
        started = time.perf_counter()
        predictions += predictor.predict([pixels])
        milliseconds.append(1000 * (time.perf_counter() - started))
        on_progress(ProgressEvent(phase, 1, 1, number, len(items), {}, remaining.estimate(number)))
    classes = bundle.classes
    return Answers(
        checksum=bundle.checksum,
        card=bundle.card,
        items=items,
        probabilities=np.array([[one.probabilities[name] for name in classes] for one in predictions]),
        sets=np.array([[name in one.prediction_set for name in classes] for one in predictions]),
        abstained=np.array([one.abstained for one in predictions]),
        in_distribution=np.array([one.in_distribution for one in predictions]),
        trained_on=_trained_on(bundle, items),
        milliseconds=np.array(milliseconds),
    )


def _check_items(items: Sequence[Item], classes: Sequence[str]) -> None:
    if not items:
        raise DatasetRefused("The manifest has no test images.")
    unknown = sorted({item.label for item in items} - set(classes))
    if unknown:
        raise DatasetRefused(
            f"The model does not know the class {unknown[0]!r}; it knows {', '.join(classes)}."
        )


def _trained_on(bundle: Bundle, items: Sequence[Item]) -> NDArray[np.bool_] | None:
    path = bundle.file(TRAINING_IMAGES)
    if not path.exists():
        return None
    seen = set(path.read_text(encoding="ascii").split())
    return np.array([item.sha256 in seen for item in items])


def _read(manifest: Manifest, item: Item) -> NDArray[np.uint8]:
    try:
        content = manifest.file(item).read_bytes()
        if hashlib.sha256(content).hexdigest() != item.sha256:
            raise DatasetRefused(f"{item.path} is not the image that the manifest lists: it has changed.")
        return read_image(content).pixels
    except OSError as error:
        raise DatasetRefused(f"{item.path} cannot be opened: {error.strerror}.") from error
    except ImageRefused as refusal:
        raise DatasetRefused(f"{item.path}: {refusal}") from refusal

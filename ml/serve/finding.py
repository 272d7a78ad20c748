"""The finding of one X-ray: is a bone broken, where, how sure. From a finding bundle's serving graph; no TensorFlow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.serve.bundle import Bundle, BundleIncompatible
from ml.serve.inference import Engine, open_graph
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec, Placement, find_placement, is_blank, preprocess

SHIPPED = Path(__file__).parent / "shipped_finding"
MAX_MARKS = 3
# Around a mark's cell no other mark is set, in cells of the map.
SUPPRESSED = 3

FindingName = Literal["fracture seen", "doubtful", "no fracture seen"]


@dataclass(frozen=True)
class Mark:
    """A box around a suspected fracture, in pixels of the upright picture.

    x, y: its left upper corner. score: the map's value there, in [0, 1]; it is not a probability.
    """

    x: float
    y: float
    width: float
    height: float
    score: float


@dataclass(frozen=True)
class Finding:
    """The answer for one picture. It is not a diagnosis.

    finding: None when the picture is not like those trained on.
    probability: of a fracture, calibrated; None without a finding.
    marks: where a fracture was seen or suspected, the best first; empty when no fracture was seen.
    body_part: "hand", "leg", "hip" or "shoulder", "several", or None when none of them was recognised.
    recognised: whether the picture is like those trained on.
    """

    finding: FindingName | None
    probability: float | None
    marks: tuple[Mark, ...]
    body_part: str | None
    recognised: bool


@dataclass(frozen=True)
class FindingCalibration:
    """How scores become an answer; a card's "calibration".

    map_weight, pooled_weight, bias: of the logistic regression from the two scores to the probability.
    seen_from: at or above it, "fracture seen". not_seen_below: "no fracture seen". "Doubtful" between.
    mark_from: the lowest score of a second or third mark.
    part_from: the lowest probability at which a body part counts as shown.
    """

    map_weight: float
    pooled_weight: float
    bias: float
    seen_from: float
    not_seen_below: float
    mark_from: float
    part_from: float = 0.5

    @classmethod
    def of(cls, card: dict[str, Any]) -> FindingCalibration:
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in card["calibration"].items() if name in names})

    def probability(self, map_score: Any, pooled_score: Any) -> Any:
        """Returns the probability of a fracture, of numbers or arrays."""
        logit = self.map_weight * map_score + self.pooled_weight * pooled_score + self.bias
        return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))

    def name(self, probability: float) -> FindingName:
        if probability >= self.seen_from:
            return "fracture seen"
        return "no fracture seen" if probability < self.not_seen_below else "doubtful"


class FindingPredictor:
    """Answers pictures with a finding bundle's model, without TensorFlow. Not for several threads at a time."""

    def __init__(self, bundle: Bundle, engine: Engine = "auto") -> None:
        """Opens the graph.

        Raises:
            BundleIncompatible: the bundle does not answer the finding.
        """
        if bundle.card.get("answers") != "finding":
            raise BundleIncompatible(f"The bundle {bundle.path} does not answer whether a bone is broken.")
        self._spec = InputSpec(**bundle.card["input"])
        self._parts: list[str] = bundle.card["body_parts"]
        self._calibration = FindingCalibration.of(bundle.card)
        self._graph = open_graph(bundle.file("serving.tflite.gz"), engine)
        self._distribution = Distribution.load(bundle.path)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Finding]:
        """Answers pictures, each uint8 (H, W) or (H, W, 3) as from ml.data.images."""
        return [self._predict_one(pixels) for pixels in images]

    def _predict_one(self, pixels: NDArray[np.uint8]) -> Finding:
        placement = find_placement(pixels, self._spec)
        outputs = self._graph.run(preprocess(pixels, self._spec, placement))
        if is_blank(pixels) or not (
            self._distribution is None or self._distribution.contains(outputs["features"])
        ):
            return Finding(None, None, (), None, recognised=False)
        calibration = self._calibration
        probability = float(calibration.probability(map_score(outputs["map"]), float(outputs["finding"][0])))
        finding = calibration.name(probability)
        marks: tuple[Mark, ...] = ()
        if finding != "no fracture seen":
            found = peaks(outputs["map"][..., 0], outputs["box"], self._spec.size)
            marks = tuple(
                _on_picture(mark, placement, pixels.shape)
                for number, mark in enumerate(found)
                if number == 0 or mark.score >= calibration.mark_from
            )
        return Finding(finding, probability, marks, self._body_part(outputs["part"]), recognised=True)

    def _body_part(self, logits: NDArray[np.float32]) -> str | None:
        shown = np.flatnonzero(1 / (1 + np.exp(-logits)) >= self._calibration.part_from)
        if len(shown) == 0:
            return None
        return "several" if len(shown) > 1 else self._parts[int(shown[0])]


def map_score(scores: NDArray[np.float32]) -> float:
    """Returns the log-sum-exp of a map of logits: near its maximum, and larger where many cells agree."""
    highest = float(scores.max())
    return highest + math.log(float(np.exp(scores - highest).sum(dtype=np.float64)))


def peaks(scores: NDArray[np.float32], boxes: NDArray[np.float32], size: int, unit: int = 32) -> list[Mark]:
    """Returns the boxes at the map's highest cells, MAX_MARKS at most, in pixels of the input.

    No mark is set within SUPPRESSED cells of a better one, nor with its cell inside a better one's box.

    Args:
        scores: logits, (h, w). boxes: (h, w, 4), as the network's output "box".
        size: the side of the input. unit: of the boxes, in pixels.
    """
    left = scores.astype(np.float32).copy()
    cell = size / len(left)
    rows, columns = np.mgrid[: left.shape[0], : left.shape[1]]
    marks = []
    for _ in range(MAX_MARKS):
        row, column = divmod(int(left.argmax()), left.shape[1])
        score = float(left[row, column])
        if not math.isfinite(score):
            break
        right, down, log_width, log_height = boxes[row, column].clip(-8, 8)
        x, y = (column + 0.5) * cell + unit * float(right), (row + 0.5) * cell + unit * float(down)
        width, height = unit * math.exp(float(log_width)), unit * math.exp(float(log_height))
        marks.append(Mark(x - width / 2, y - height / 2, width, height, 1 / (1 + math.exp(-score))))
        near = (abs(rows - row) <= SUPPRESSED) & (abs(columns - column) <= SUPPRESSED)
        inside = (abs((columns + 0.5) * cell - x) < width / 2) & (abs((rows + 0.5) * cell - y) < height / 2)
        left[near | inside] = -np.inf
    return marks


def _on_picture(mark: Mark, placement: Placement, shape: tuple[int, ...]) -> Mark:
    """Returns a mark moved from the input to the picture, and cut at its edges."""
    left, top, right, bottom = placement.source
    to_left, to_top, to_right, to_bottom = placement.target
    across, down = (right - left) / (to_right - to_left), (bottom - top) / (to_bottom - to_top)
    x = np.clip([(mark.x + add - to_left) * across + left for add in (0, mark.width)], 0, shape[1])
    y = np.clip([(mark.y + add - to_top) * down + top for add in (0, mark.height)], 0, shape[0])
    return Mark(float(x[0]), float(y[0]), float(x[1] - x[0]), float(y[1] - y[0]), mark.score)

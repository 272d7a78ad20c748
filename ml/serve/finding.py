"""Detects and localises fractures with a calibrated probability, with the serving graph of a finding bundle.

This module does not import TensorFlow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ml.serve.bundle import Bundle, BundleIncompatible
from ml.serve.inference import Engine, open_graph
from ml.serve.out_of_distribution import Distribution, is_recognised
from ml.serve.preprocessing import InputSpec, Placement, SourceImage, preprocess

MAX_MARKS = 3
# Radius of the non-maximum suppression around a peak, in cells of the map.
SUPPRESSED = 3

FindingName = Literal["fracture seen", "doubtful", "no fracture seen"]


@dataclass(frozen=True)
class Mark:
    """A box around a suspected fracture, in pixels of the upright image.

    Attributes:
        x: Left edge.
        y: Top edge.
        width: Width.
        height: Height.
        score: Sigmoid of the map at the peak, in [0, 1]. It is not a calibrated probability.
    """

    x: float
    y: float
    width: float
    height: float
    score: float


@dataclass(frozen=True)
class Finding:
    """The answer for one image. It is not a diagnosis.

    Attributes:
        finding: "fracture seen", "doubtful" or "no fracture seen"; None if the image is not recognised.
        probability: Calibrated probability of a fracture; None if the image is not recognised.
        marks: Boxes around suspected fractures, by descending score; empty if the finding is "no fracture seen".
        body_part: "hand", "leg", "hip", "shoulder" or "several"; None if no body part is detected.
        recognised: Whether the image is similar to the training images.
        calibrated: Whether the probability is calibrated for images of this kind. It is not for those that are more
            similar to X-rays of other sources.
    """

    finding: FindingName | None
    probability: float | None
    marks: tuple[Mark, ...]
    body_part: str | None
    recognised: bool
    calibrated: bool


@dataclass(frozen=True)
class FindingScores:
    """Uncalibrated scores of one recognised image, from which a calibration and thresholds are fitted.

    Attributes:
        map_score: Log-sum-exp of the map.
        pooled_score: Logit of the pooled features.
        marks: All peaks of the map, by descending score, also those below the score threshold of marks.
        other_source: Whether the image is more similar to X-rays of other sources.
    """

    map_score: float
    pooled_score: float
    marks: tuple[Mark, ...]
    other_source: bool = False


@dataclass(frozen=True)
class FindingCalibration:
    """Calibration and thresholds, from the entry "calibration" of a card.

    A logistic regression of the map score and the pooled logit gives the probability of a fracture.

    Attributes:
        map_weight: Weight of the map score.
        pooled_weight: Weight of the pooled logit.
        bias: Bias of the logistic regression.
        seen_from: Lowest probability of "fracture seen".
        not_seen_below: Probability below which the finding is "no fracture seen". Between the two it is "doubtful".
        not_seen_below_other_sources: The same for X-rays that are more similar to those of other sources than to those
            the finding was calibrated on; None if there are no other sources.
        mark_from: Lowest score of a second or third mark.
    """

    map_weight: float
    pooled_weight: float
    bias: float
    seen_from: float
    not_seen_below: float
    mark_from: float
    not_seen_below_other_sources: float | None = None

    @classmethod
    def of(cls, card: dict[str, Any]) -> FindingCalibration:
        names = cls.__dataclass_fields__
        return cls(**{name: value for name, value in card["calibration"].items() if name in names})

    def probability(self, map_score: Any, pooled_score: Any) -> Any:
        """Returns the probability of a fracture, for numbers or arrays."""
        logit = self.map_weight * map_score + self.pooled_weight * pooled_score + self.bias
        return 1 / (1 + np.exp(-np.clip(logit, -50, 50)))

    def name(self, probability: float, other_source: bool = False) -> FindingName:
        """Returns the finding for a probability; other_source selects the lower threshold of other sources."""
        if probability >= self.seen_from:
            return "fracture seen"
        below = self.not_seen_below_other_sources if other_source else None
        return (
            "no fracture seen"
            if probability < (self.not_seen_below if below is None else below)
            else "doubtful"
        )


@dataclass(frozen=True)
class BodyPartRule:
    """How a body part is named, from the entry "body_part_rule" of a card.

    Attributes:
        bias: Added to the logit of each body part.
        named_from: Lowest probability of a body part that is named.
        several_from: Lowest probability of the second body part at which "several" is named.
    """

    bias: Sequence[float] | float = 0.0
    named_from: float = 0.5
    several_from: float = 0.5


class FindingPredictor:
    """Predicts findings with the model of a finding bundle, without TensorFlow. Not thread-safe."""

    def __init__(self, bundle: Bundle, engine: Engine = "auto") -> None:
        """Opens the serving graph.

        Args:
            bundle: A finding bundle.
            engine: The inference engine.

        Raises:
            BundleIncompatible: The bundle is not a fracture-finding bundle.
        """
        if bundle.card.get("answers") != "finding":
            raise BundleIncompatible(f"{bundle.path} is not a fracture-finding bundle.")
        self._spec = InputSpec(**bundle.card["input"])
        self._body_parts: list[str] = bundle.card["body_parts"]
        self._calibration = FindingCalibration.of(bundle.card)
        self._body_part_rule = BodyPartRule(**bundle.card.get("body_part_rule", {}))
        self._graph = open_graph(bundle.file("serving.tflite.gz"), engine)
        self._distribution = Distribution.load(bundle.path)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Finding]:
        """Predicts the finding of each image, uint8 (H, W) or (H, W, 3) as from ml.data.images."""
        return [self.predict_one(SourceImage(pixels)) for pixels in images]

    def scores(self, pixels: NDArray[np.uint8]) -> FindingScores | None:
        """Returns the uncalibrated scores of an image, or None if it is not recognised."""
        image = SourceImage(pixels)
        placement, outputs = self._run(image)
        if not is_recognised(image, outputs["features"], self._distribution):
            return None
        marks = self._peaks(outputs, placement, pixels.shape)
        other_source = self._distribution is not None and self._distribution.nearest(outputs["features"]) > 0
        return FindingScores(map_score(outputs["map"]), float(outputs["finding"][0]), marks, other_source)

    def predict_one(self, image: SourceImage) -> Finding:
        """Predicts the finding of one image."""
        placement, outputs = self._run(image)
        if not is_recognised(image, outputs["features"], self._distribution):
            return Finding(None, None, (), None, recognised=False, calibrated=False)
        calibration = self._calibration
        probability = float(calibration.probability(map_score(outputs["map"]), float(outputs["finding"][0])))
        other_source = self._distribution is not None and self._distribution.nearest(outputs["features"]) > 0
        finding = calibration.name(probability, other_source)
        marks: tuple[Mark, ...] = ()
        if finding != "no fracture seen":
            found = self._peaks(outputs, placement, image.pixels.shape)
            marks = tuple(
                mark
                for number, mark in enumerate(found)
                if number == 0 or mark.score >= calibration.mark_from
            )
        body_part = name_body_part(outputs["part"], self._body_part_rule, self._body_parts)
        return Finding(finding, probability, marks, body_part, recognised=True, calibrated=not other_source)

    def _run(self, image: SourceImage) -> tuple[Placement, dict[str, NDArray[np.float32]]]:
        placement = image.placement(self._spec)
        return placement, self._graph.run(preprocess(image.pixels, self._spec, placement))

    def _peaks(
        self, outputs: dict[str, NDArray[np.float32]], placement: Placement, shape: tuple[int, ...]
    ) -> tuple[Mark, ...]:
        found = peaks(outputs["map"][..., 0], outputs["box"], self._spec.size)
        return tuple(_to_image(mark, placement, shape) for mark in found)


def name_body_part(logits: NDArray[np.float32], rule: BodyPartRule, body_parts: Sequence[str]) -> str | None:
    """Returns the name of the most probable body part, "several", or None.

    Args:
        logits: float32 (body parts,).
        rule: How a body part is named.
        body_parts: The names of the body parts, at least two.
    """
    probabilities = 1 / (1 + np.exp(-(logits + np.asarray(rule.bias, np.float32))))
    second, first = np.argsort(probabilities)[-2:]
    if probabilities[first] < rule.named_from:
        return None
    return "several" if probabilities[second] >= rule.several_from else body_parts[int(first)]


def map_score(scores: NDArray[np.float32]) -> float:
    """Returns the log-sum-exp of a map of logits, a smooth maximum that increases with the number of high cells."""
    highest = float(scores.max())
    return highest + math.log(float(np.exp(scores - highest).sum(dtype=np.float64)))


def peaks(scores: NDArray[np.float32], boxes: NDArray[np.float32], size: int, unit: int = 32) -> list[Mark]:
    """Returns the boxes at up to MAX_MARKS peaks of the map after non-maximum suppression, by descending score.

    A peak is dropped within SUPPRESSED cells of a higher-scoring peak or inside its box.

    Args:
        scores: float32 (h, w), logits.
        boxes: float32 (h, w, 4), the output "box" of the network.
        size: Side of the input in pixels.
        unit: Unit of the boxes in pixels.

    Returns:
        Boxes in pixels of the input.
    """
    remaining = scores.astype(np.float32).copy()
    cell = size / len(remaining)
    rows, columns = np.mgrid[: remaining.shape[0], : remaining.shape[1]]
    marks = []
    for _ in range(MAX_MARKS):
        row, column = divmod(int(remaining.argmax()), remaining.shape[1])
        score = float(remaining[row, column])
        if not math.isfinite(score):
            break
        right, down, log_width, log_height = boxes[row, column].clip(-8, 8)
        x, y = (column + 0.5) * cell + unit * float(right), (row + 0.5) * cell + unit * float(down)
        width, height = unit * math.exp(float(log_width)), unit * math.exp(float(log_height))
        marks.append(Mark(x - width / 2, y - height / 2, width, height, 1 / (1 + math.exp(-score))))
        near = (abs(rows - row) <= SUPPRESSED) & (abs(columns - column) <= SUPPRESSED)
        inside = (abs((columns + 0.5) * cell - x) < width / 2) & (abs((rows + 0.5) * cell - y) < height / 2)
        remaining[near | inside] = -np.inf
    return marks


def _to_image(mark: Mark, placement: Placement, shape: tuple[int, ...]) -> Mark:
    """Maps a mark from the input to the upright image and clips it to the image."""
    left, top, right, bottom = placement.source
    to_left, to_top, to_right, to_bottom = placement.target
    across, down = (right - left) / (to_right - to_left), (bottom - top) / (to_bottom - to_top)
    x = np.clip([(mark.x + offset - to_left) * across + left for offset in (0, mark.width)], 0, shape[1])
    y = np.clip([(mark.y + offset - to_top) * down + top for offset in (0, mark.height)], 0, shape[0])
    return Mark(float(x[0]), float(y[0]), float(x[1] - x[0]), float(y[1] - y[0]), mark.score)

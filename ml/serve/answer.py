"""The whole answer of a model version: the finding with its marks, then the likely kinds of fracture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.classes import MAX_KINDS
from ml.serve.bundle import Bundle
from ml.serve.finding import Finding, FindingPredictor
from ml.serve.inference import Engine, Prediction, Predictor
from ml.serve.preprocessing import SourceImage


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer for one image. It is not a diagnosis.

    Attributes:
        finding: None if the model answers the kind of fracture only.
        kind: The prediction of the kind, which is shown only where names_kinds is True.
    """

    finding: Finding | None
    kind: Prediction

    @property
    def names_kinds(self) -> bool:
        """Whether kinds are named: the image is in distribution for them, and a fracture is seen or doubtful."""
        if self.finding is not None and self.finding.finding not in ("fracture seen", "doubtful"):
            return False
        return self.kind.in_distribution

    @property
    def kinds(self) -> list[str]:
        """The most probable kinds, at most MAX_KINDS, the most probable first."""
        return list(self.kind.probabilities)[:MAX_KINDS] if self.names_kinds else []

    @property
    def is_kind_uncertain(self) -> bool:
        """Whether the prediction set is longer than the list of kinds, or the image is out of distribution."""
        return not self.kind.in_distribution or len(self.kind.prediction_set) > MAX_KINDS


class AnswerPredictor:
    """Answers with all parts of a bundle, without TensorFlow. Not thread-safe."""

    def __init__(self, bundle: Bundle, engine: Engine = "auto") -> None:
        """Opens the serving graphs.

        Raises:
            ml.serve.bundle.BundleIncompatible: The finding part is not a bundle of the finding.
        """
        self._kind = Predictor(bundle, engine)
        self._finding = None if bundle.finding is None else FindingPredictor(bundle.finding, engine)

    def predict(self, pixels: NDArray[np.uint8]) -> Answer:
        """Answers one image, uint8 (H, W) or (H, W, 3) as from ml.data.images."""
        image = SourceImage(pixels)
        finding = None if self._finding is None else self._finding.predict_one(image)
        return Answer(finding, self._kind.predict_one(image))

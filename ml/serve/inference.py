"""Predicts with the serving graph of a bundle in LiteRT or OpenVINO, without TensorFlow."""

from __future__ import annotations

import gzip
import importlib.util
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ml.serve.bundle import Bundle
from ml.serve.calibration import prediction_sets, softmax
from ml.serve.out_of_distribution import Distribution, is_recognised
from ml.serve.preprocessing import InputSpec, SourceImage, preprocess

Engine = Literal["auto", "litert", "openvino"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """The prediction of one model for one image. It is not a diagnosis.

    Attributes:
        class_name: The most probable class; None if the image is out of distribution.
        confidence: Calibrated probability of the most probable class, in [0, 1].
        probabilities: Calibrated probabilities by class, in descending order; they sum to 1.
        prediction_set: Conformal prediction set, the most probable class first; it contains the true class with the
            coverage of the bundle's calibration.
        abstained: Whether the confidence is too low to name a class.
        in_distribution: Whether the image is similar to the training images.
    """

    class_name: str | None
    confidence: float
    probabilities: dict[str, float]
    prediction_set: list[str]
    abstained: bool
    in_distribution: bool


class Graph(Protocol):
    """A loaded serving graph."""

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Runs the graph.

        Args:
            image: Preprocessed image, float32 (size, size, 3).

        Returns:
            The outputs by name (see ml.serve.export.export_litert), without the batch axis. Graphs of earlier bundles
            also have the output "class_maps", which is ignored.
        """


class LiteRTGraph:
    """Runs a serving graph in LiteRT. Not thread-safe."""

    def __init__(self, source: Path | bytes) -> None:
        """Loads a gzipped serving graph, given as a file or as its content."""
        from ai_edge_litert.interpreter import Interpreter

        # The interpreter does not copy these bytes, so they must be kept.
        self.content = gzip.decompress(source if isinstance(source, bytes) else source.read_bytes())
        self._interpreter = Interpreter(model_content=self.content, num_threads=num_threads())
        self._runner = self._interpreter.get_signature_runner()
        # Output names of the signature, by the names of the tensors in the file.
        self.names = {str(d["name"]): name for name, d in self._runner.get_output_details().items()}
        self.input_shape = tuple(int(side) for side in self._interpreter.get_input_details()[0]["shape"][1:])

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the outputs for one preprocessed image, float32 (size, size, 3)."""
        outputs = self._runner(image=image[np.newaxis])
        return {name: np.asarray(value[0], np.float32) for name, value in outputs.items()}


class OpenVINOGraph:
    """Runs a serving graph in OpenVINO, which reads the same file. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        """Loads a gzipped serving graph."""
        import openvino

        # OpenVINO does not read the signature, which has the names of the outputs.
        litert = LiteRTGraph(path)
        self._names = litert.names
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads(),
            # The default, bfloat16 on processors that support it, changes probabilities by up to 0.03.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "serving.tflite"
            unpacked.write_bytes(litert.content)
            self._model = openvino.Core().compile_model(unpacked, "CPU", options)

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the outputs for one preprocessed image, float32 (size, size, 3)."""
        results = self._model([image[np.newaxis]])
        return {
            self._names[name]: np.array(value[0], np.float32)
            for output, value in results.items()
            for name in output.names
            if name in self._names
        }


class Predictor:
    """Predicts with the model of one bundle. Not thread-safe."""

    def __init__(self, bundle: Bundle, engine: Engine = "auto") -> None:
        """Loads the model.

        Args:
            bundle: The bundle.
            engine: "litert", "openvino" or "auto" (see open_graph).
        """
        self.classes = bundle.classes
        self._card = bundle.card
        self._spec = InputSpec(**bundle.card["input"])
        self._graph = open_graph(bundle.file("serving.tflite.gz"), engine)
        self._distribution = Distribution.load(bundle.path)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Predicts images.

        Args:
            images: uint8 (H, W) or (H, W, 3) each, as returned by ml.data.images.

        Returns:
            One prediction for each image.
        """
        return [self.predict_one(SourceImage(pixels)) for pixels in images]

    def predict_one(self, image: SourceImage) -> Prediction:
        """Predicts one image."""
        outputs = self._graph.run(preprocess(image.pixels, self._spec, image.placement(self._spec)))
        calibration = self._card["calibration"]
        probabilities = softmax(outputs["logits"][np.newaxis], calibration["temperature"])[0]
        order = np.argsort(-probabilities, kind="stable")
        best = int(order[0])
        in_set = prediction_sets(probabilities[np.newaxis], calibration["conformal_threshold"])[0]
        known = is_recognised(image, outputs["features"], self._distribution)
        return Prediction(
            class_name=self.classes[best] if known else None,
            confidence=float(probabilities[best]),
            probabilities={self.classes[number]: float(probabilities[number]) for number in order},
            prediction_set=[self.classes[number] for number in order if in_set[number]],
            abstained=bool(probabilities[best] < calibration["abstain_below"]),
            in_distribution=known,
        )


def open_graph(source: Path | bytes, engine: Engine = "auto") -> Graph:
    """Opens a gzipped serving graph.

    Args:
        source: The file, or its content (LiteRT only).
        engine: "litert", "openvino", or "auto" for the faster of the installed engines on this processor.
    """
    if isinstance(source, bytes) or engine == "litert":
        return LiteRTGraph(source)
    if engine == "openvino":
        return OpenVINOGraph(source)
    litert = LiteRTGraph(source)
    if importlib.util.find_spec("openvino") is None:
        return litert
    openvino = OpenVINOGraph(source)
    return openvino if _seconds(openvino, litert) < _seconds(litert, litert) else litert


def _seconds(graph: Graph, shape_of: LiteRTGraph) -> float:
    image = np.zeros(shape_of.input_shape, np.float32)
    durations = []
    for _ in range(4):
        started = time.perf_counter()
        graph.run(image)
        durations.append(time.perf_counter() - started)
    # The first run includes initialization.
    return min(durations[1:])


def num_threads() -> int:
    """Returns the number of threads for a graph: the processors that this process may use, at most four."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)

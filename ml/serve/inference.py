"""Predictions from a bundle's serving graph: the one heavy thing a prediction worker imports."""

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
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import InputSpec, is_flat, place, prepare
from ml.serve.saliency import class_activation

Engine = Literal["auto", "litert", "openvino"]


@dataclass(frozen=True, eq=False)
class Prediction:
    """One model's answer for one picture. It is no diagnosis.

    class_name: the most probable class; None when the picture is not like those trained on.
    confidence: the calibrated probability of the most probable class, in [0, 1].
    probabilities: calibrated, by class, the highest first; they sum to 1.
    prediction_set: the classes that hold the true one in 90 % of cases, the most probable first.
    abstained: whether the confidence is below the threshold under which nothing should be named.
    in_distribution: whether the picture is like those trained on.
    saliency: where the evidence for class_name lies, float32 (h, w) in [0, 1] in the picture's
        proportions; None without a class, or when the network cannot tell.
    """

    class_name: str | None
    confidence: float
    probabilities: dict[str, float]
    prediction_set: list[str]
    abstained: bool
    in_distribution: bool
    saliency: NDArray[np.float32] | None


class Graph(Protocol):
    """A serving graph that is ready to run."""

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the graph's outputs by name for one prepared image, (size, size, 3)."""


class LiteRTGraph:
    """Runs a serving graph in LiteRT. Not for several threads at a time."""

    def __init__(self, source: Path | bytes) -> None:
        from ai_edge_litert.interpreter import Interpreter

        # The interpreter reads from these bytes for as long as it lives.
        self.content = gzip.decompress(source if isinstance(source, bytes) else source.read_bytes())
        self._interpreter = Interpreter(model_content=self.content, num_threads=num_threads())
        self._runner = self._interpreter.get_signature_runner()
        # What the file calls its outputs inside, and what they are.
        self.names = {str(d["name"]): name for name, d in self._runner.get_output_details().items()}
        self.input_shape = tuple(int(side) for side in self._interpreter.get_input_details()[0]["shape"][1:])

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        outputs = self._runner(image=image[np.newaxis])
        return {name: np.asarray(value[0], np.float32) for name, value in outputs.items()}


class OpenVINOGraph:
    """Runs a serving graph in OpenVINO, which reads the same file. Not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        import openvino

        # OpenVINO does not read the file's signature, which says what its outputs are.
        litert = LiteRTGraph(path)
        self._names = litert.names
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": num_threads(),
            # Its own choice, bfloat16 where the processor can, moves probabilities by up to 0.03.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        with tempfile.TemporaryDirectory() as folder:
            unpacked = Path(folder) / "serving.tflite"
            unpacked.write_bytes(litert.content)
            self._model = openvino.Core().compile_model(unpacked, "CPU", options)

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        results = self._model([image[np.newaxis]])
        return {
            self._names[name]: np.array(value[0], np.float32)
            for output, value in results.items()
            for name in output.names
            if name in self._names
        }


class Predictor:
    """Answers pictures with one bundle's model, without TensorFlow. Not for several threads at a time."""

    def __init__(self, bundle: Bundle, engine: Engine = "auto") -> None:
        self.classes = bundle.classes
        self._card = bundle.card
        self._spec = InputSpec(**bundle.card["input"])
        self._graph = open_graph(bundle.file("serving.tflite.gz"), engine)
        self._distribution = Distribution.load(bundle.path)

    def predict(self, images: Sequence[NDArray[np.uint8]]) -> list[Prediction]:
        """Answers pictures, each uint8 (H, W) or (H, W, 3) as from ml.data.images."""
        return [self._predict_one(pixels) for pixels in images]

    def _predict_one(self, pixels: NDArray[np.uint8]) -> Prediction:
        placement = place(pixels, self._spec)
        outputs = self._graph.run(prepare(pixels, self._spec, placement))
        calibration = self._card["calibration"]
        probabilities = softmax(outputs["logits"][np.newaxis], calibration["temperature"])[0]
        order = np.argsort(-probabilities, kind="stable")
        best = int(order[0])
        in_set = prediction_sets(probabilities[np.newaxis], calibration["conformal_threshold"])[0]
        known = self._distribution is None or (
            not is_flat(pixels) and self._distribution.contains(outputs["features"])
        )
        saliency = None
        if known and "class_maps" in outputs:
            evidence = outputs["class_maps"][..., best]
            saliency = class_activation(evidence, placement, pixels.shape, self._spec.size)
        return Prediction(
            class_name=self.classes[best] if known else None,
            confidence=float(probabilities[best]),
            probabilities={self.classes[number]: float(probabilities[number]) for number in order},
            prediction_set=[self.classes[number] for number in order if in_set[number]],
            abstained=bool(probabilities[best] < calibration["abstain_below"]),
            in_distribution=known,
            saliency=saliency,
        )


def open_graph(source: Path | bytes, engine: Engine = "auto") -> Graph:
    """Opens a gzipped serving graph, a file or (in LiteRT) its content.

    "auto" takes LiteRT, unless OpenVINO is installed and answers faster on this processor.
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
    taken = []
    for _ in range(4):
        started = time.perf_counter()
        graph.run(image)
        taken.append(time.perf_counter() - started)
    # The first run may still be preparing something.
    return min(taken[1:])


def num_threads() -> int:
    """Returns how many threads a graph may use: the processors of this process, four at most."""
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, 4)

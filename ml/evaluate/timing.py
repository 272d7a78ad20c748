"""How long answers take, as ratios to a plain MobileNetV2 that is timed in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ml.networks import architectures
from ml.serve.bundle import Bundle
from ml.serve.export import export_litert
from ml.serve.inference import Engine, Predictor, open_graph
from ml.serve.preprocessing import InputSpec, preprocess

PLAIN = "plain MobileNetV2, 256 x 256"


def time_bundle(bundle: Bundle, pixels: NDArray[np.uint8], engine: Engine, rounds: int) -> dict[str, float]:
    """Returns the median milliseconds for one picture: the bundle's graph alone, and its whole answer.

    Both take turns with a plain MobileNetV2 with ten classes, so that other work on the machine
    slows all of them alike.
    """
    model = architectures.build_network("mobilenet_v2", 256, 10)
    plain = open_graph(export_litert(model, ("features",), flip=False), engine)
    plain_image = preprocess(pixels, InputSpec(256))
    graph = open_graph(bundle.file("serving.tflite.gz"), engine)
    image = preprocess(pixels, InputSpec(**bundle.card["input"]))
    predictor = Predictor(bundle, engine)
    return _medians(
        {
            PLAIN: lambda: plain.run(plain_image),
            "this model's graph": lambda: graph.run(image),
            "this model's answer": lambda: predictor.predict([pixels]),
        },
        rounds,
    )


def _medians(actions: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in actions}
    for action in actions.values():
        action()
    for _ in range(rounds):
        for name, action in actions.items():
            started = time.perf_counter()
            action()
            times[name].append(1000 * (time.perf_counter() - started))
    return {name: statistics.median(taken) for name, taken in times.items()}

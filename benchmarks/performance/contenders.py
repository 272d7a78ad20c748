"""The contenders of the benchmark, each in a process of its own.

    python -m benchmarks.performance.contenders NAME FOLDER

The process prints a line of JSON when it is ready. Then it does one operation for each line that it reads, and prints
the time that this took. FOLDER has the files that `prepare` writes.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from ml.native_stderr import suppress_native_stderr

ORIGINAL = "original.keras"
ORIGINAL_SIZE = (256, 256)
# Images of one epoch of training.
EPOCH_IMAGES = "CALLUS_BENCHMARK_EPOCH_IMAGES"


class Turns:
    """Waits for the turns of this process, and reports how long each took."""

    def __init__(self) -> None:
        # Libraries that print would otherwise disturb the reports.
        self._reports = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._started = _now()
        self._stopped: tuple[float, float] | None = None

    def wait(self) -> str:
        """Returns the line that starts the next turn; ends the process if there is none."""
        line = sys.stdin.readline()
        if not line:
            sys.exit()
        self._started = _now()
        self._stopped = None
        return line.strip()

    def stop(self) -> None:
        """Ends the time that is reported; what follows in this turn is not measured."""
        self._stopped = _now()

    def finish(self) -> None:
        """Reports the time since the start of the turn."""
        wall, cpu = (
            1000 * (end - start) for start, end in zip(self._started, self._stopped or _now(), strict=True)
        )
        self.report(ms=wall, cpu_ms=cpu)

    def report(self, **figures: float) -> None:
        """Prints figures as one line of JSON."""
        print(json.dumps(figures), file=self._reports, flush=True)

    def take(self, do: Callable[[str], object]) -> None:
        """Does one operation in each turn."""
        self.report()
        while True:
            do(self.wait())
            self.finish()


def _now() -> tuple[float, float]:
    """Returns the seconds of the clock and of the processors."""
    return time.perf_counter(), time.process_time()


class Contender(Protocol):
    """Loads what it needs from the folder, and takes turns until its process ends."""

    def __call__(self, folder: Path, turns: Turns) -> None: ...


def callus(folder: Path, turns: Turns) -> None:
    """Answers with the shipped model in LiteRT, the default."""
    _answer(turns, "litert")


def openvino(folder: Path, turns: Turns) -> None:
    """Answers with the shipped model: the same graphs in OpenVINO."""
    _answer(turns, "openvino")


def onnxruntime(folder: Path, turns: Turns) -> None:
    """Answers with the shipped model: the same graphs in ONNX Runtime."""
    with (
        patch("ml.serve.inference.open_graph", lambda path, engine: ONNXGraph(path, folder / "kind.onnx")),
        patch("ml.serve.finding.open_graph", lambda path, engine: ONNXGraph(path, folder / "finding.onnx")),
    ):
        _answer(turns, "litert")


def original(folder: Path, turns: Turns) -> None:
    """Predicts with the first published network as its Streamlit page does: Pillow's resize and model.predict."""
    from PIL import Image

    from ml.serve.export import load_keras

    model = load_keras(folder / ORIGINAL)

    def predict(path: str) -> None:
        with Image.open(path) as image:
            resized = image.convert("RGB").resize(ORIGINAL_SIZE)
        model.predict(np.asarray(resized, np.float32)[np.newaxis] / 255, verbose=0)

    turns.take(predict)


def train_callus(folder: Path, turns: Turns) -> None:
    """Trains the recipe seed_cnn, one epoch in each turn; the checkpoint after it is not measured."""
    from ml.networks.architectures import build_network
    from ml.networks.recipes import SEED_CNN
    from ml.progress import ProgressEvent, RemainingTime
    from ml.train.fitting import FitOptions, fit
    from ml.train.input_pipeline import Examples
    from ml.train.memory import keep_freed_memory

    keep_freed_memory()
    images, targets = _training_images()
    indices = np.arange(len(images))

    def after_each_step() -> bool:
        turns.stop()
        return False

    def next_turn(event: ProgressEvent) -> None:
        if event.step == event.steps:
            turns.finish()
            turns.wait()

    turns.report()
    turns.wait()
    fit(
        build_network("seed_cnn", SEED_CNN.input.size, targets.shape[1]),
        replace(SEED_CNN, epochs=1000),
        Examples(images[np.newaxis], targets, indices, SEED_CNN.input),
        indices,
        indices[:0],
        FitOptions(
            "train", folder / "checkpoint.npz", 0, next_turn, RemainingTime(1), should_stop=after_each_step
        ),
    )


def train_keras(folder: Path, turns: Turns) -> None:
    """Trains the same network with Keras's own loop, one epoch in each turn."""
    import keras

    from ml.networks.architectures import build_network
    from ml.networks.recipes import SEED_CNN

    images, targets = _training_images()

    class TakeTurns(keras.callbacks.Callback):  # type: ignore[misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            turns.wait()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            turns.finish()

    model = build_network("seed_cnn", SEED_CNN.input.size, targets.shape[1])
    model.compile(
        keras.optimizers.Adam(SEED_CNN.learning_rate), keras.losses.CategoricalCrossentropy(from_logits=True)
    )
    turns.report()
    pixels = images.astype(np.float32) / 255
    model.fit(
        pixels,
        targets,
        batch_size=SEED_CNN.batch_size,
        epochs=1000,
        shuffle=True,
        callbacks=[TakeTurns()],
        verbose=0,
    )


def train_convolutions(folder: Path, turns: Turns) -> None:
    """Computes only the convolutions of the same training, forward and backward."""
    import tensorflow as tf

    from ml.networks.recipes import SEED_CNN

    images, _ = _training_images()
    batch, side = SEED_CNN.batch_size, SEED_CNN.input.size
    random = np.random.default_rng(0)
    shapes = ((side, 3, 64), ((side - 2) // 2, 64, 128))
    tensors = [
        [
            tf.constant(random.random(shape, np.float32))
            for shape in ((batch, width, width, channels), (3, 3, channels, filters))
        ]
        for width, channels, filters in shapes
    ]

    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step() -> list[tf.Tensor]:
        gradients = []
        for number, (inputs, kernel) in enumerate(tensors):
            output = tf.nn.conv2d(inputs, kernel, 1, "VALID")
            options = {"out_backprop": output, "strides": [1, 1, 1, 1], "padding": "VALID"}
            gradients.append(
                tf.raw_ops.Conv2DBackpropFilter(input=inputs, filter_sizes=kernel.shape, **options)
            )
            if number:
                gradients.append(
                    tf.raw_ops.Conv2DBackpropInput(input_sizes=inputs.shape, filter=kernel, **options)
                )
        return [tf.reduce_sum(gradient) for gradient in gradients]

    turns.take(lambda line: [step()[0].numpy() for _ in range(len(images) // batch)])


CONTENDERS: dict[str, Contender] = {
    contender.__name__: contender  # type: ignore[attr-defined]
    for contender in (
        callus,
        original,
        onnxruntime,
        openvino,
        train_callus,
        train_keras,
        train_convolutions,
    )
}


class ONNXGraph:
    """Runs a converted serving graph in ONNX Runtime (ml.serve.inference.Graph)."""

    def __init__(self, serving: Path, converted: Path) -> None:
        from ml.serve.inference import LiteRTGraph, num_threads

        runtime = importlib.import_module("onnxruntime")

        options = runtime.SessionOptions()
        options.intra_op_num_threads = num_threads()
        self._session = runtime.InferenceSession(converted, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        # The converter names the outputs like the tensors of the file, not like the signature.
        names = LiteRTGraph(serving).names
        self._names = [names[output.name] for output in self._session.get_outputs()]

    def run(self, image: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Returns the outputs for one preprocessed image, float32 (size, size, 3)."""
        outputs = self._session.run(None, {self._input: image[np.newaxis]})
        return {name: value[0] for name, value in zip(self._names, outputs, strict=True)}


def _answer(turns: Turns, engine: Any) -> None:
    from ml.data.images import read_image
    from ml.serve.answer import AnswerPredictor
    from ml.serve.bundle import SHIPPED, open_bundle

    with suppress_native_stderr():
        predictor = AnswerPredictor(open_bundle(SHIPPED), engine)
    turns.take(lambda path: predictor.predict(read_image(Path(path)).pixels))


def _training_images() -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    random = np.random.default_rng(0)
    number = int(os.environ[EPOCH_IMAGES])
    images = random.integers(0, 256, (number, *ORIGINAL_SIZE, 3), np.uint8)
    return images, np.eye(10, dtype=np.float32)[random.integers(0, 10, number)]


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        CONTENDERS[sys.argv[1]](Path(sys.argv[2]), Turns())

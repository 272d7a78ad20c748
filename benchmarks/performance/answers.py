"""Measures the whole answer of the shipped model against the first published network and against other engines."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance.contenders import ORIGINAL, ORIGINAL_SIZE
from benchmarks.performance.turns import Figures, measure, measure_cold
from benchmarks.tables import table
from ml.serve.bundle import FINDING, SHIPPED
from ml.serve.inference import LiteRTGraph
from tests.servers import ROOT

NAMES = {
    "callus": "Callus: finding, marks and kinds (LiteRT)",
    "original": "the original: Pillow's resize and `model.predict`",
    "onnxruntime": "Callus's graphs in ONNX Runtime",
    "openvino": "Callus's graphs in OpenVINO",
}
NEEDED = {"onnxruntime": ("onnxruntime", "tf2onnx"), "openvino": ("openvino",)}
MAX_TIME, MAX_COLD, MAX_MEMORY = 1 / 3, 1 / 5, 1 / 5


def measure_answers(pictures: Sequence[Path], folder: Path, rounds: int, starts: int) -> dict[str, Figures]:
    """Measures all contenders that are installed.

    Args:
        pictures: X-rays of 640 x 640 pixels.
        folder: Folder for the files of the contenders.
        rounds: Answers of each contender.
        starts: Starts of each contender.
    """
    names = [name for name in NAMES if not missing(name)]
    prepare(folder, names)
    found = measure(names, folder, [str(path) for path in pictures], rounds)
    measure_cold(found, folder, str(pictures[0]), starts)
    return found


def missing(name: str) -> list[str]:
    """Returns the packages that a contender needs and that are not installed."""
    return [package for package in NEEDED.get(name, ()) if importlib.util.find_spec(package) is None]


def prepare(folder: Path, names: Sequence[str]) -> None:
    """Writes the files of the contenders: the network of the original, and the graphs for ONNX Runtime."""
    code = (
        "import sys; from ml.networks.architectures import build_network;"
        f"build_network('seed_cnn', {ORIGINAL_SIZE[0]}, 10).save(sys.argv[1])"
    )
    _python("-c", code, folder / ORIGINAL)
    if "onnxruntime" not in names:
        return
    for name, bundle in (("kind", SHIPPED), ("finding", SHIPPED / FINDING)):
        graph = folder / f"{name}.tflite"
        graph.write_bytes(LiteRTGraph(bundle / "serving.tflite.gz").content)
        _python(
            "-m", "tf2onnx.convert", "--tflite", graph, "--output", folder / f"{name}.onnx", "--opset", 18
        )


def answers_table(found: dict[str, Figures]) -> str:
    """Returns the table of all contenders, with ratios to the original."""
    base = found["original"]
    header = [
        *("contender", "median ms", "ratio", "fastest ms", "ratio", "processor ms", "ratio"),
        *("cold start, s", "ratio", "MiB", "ratio"),
    ]
    rows = []
    for name, title in NAMES.items():
        if name not in found:
            rows.append([title, f"not installed: {', '.join(missing(name))}", *[""] * (len(header) - 2)])
            continue
        figures = found[name]
        cells: list[str] = []
        for value, other, digits in (
            (figures.median, base.median, 1),
            (min(figures.ms), min(base.ms), 1),
            (figures.cpu, base.cpu, 1),
            (figures.cold, base.cold, 2),
            (figures.mib, base.mib, 0),
        ):
            cells += [f"{value:.{digits}f}", f"{value / other:.2f}"]
        rows.append([title, *cells])
    return table(header, rows)


def bundle_megabytes() -> dict[str, float]:
    """Returns the size of the shipped bundle in MB, by part."""
    finding = sum(path.stat().st_size for path in (SHIPPED / FINDING).rglob("*") if path.is_file()) / 1e6
    both = sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) / 1e6
    return {"kind": both - finding, "finding": finding, "both": both}


def _python(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])

"""The benchmark runs from end to end on a tiny size; the figures themselves are not tested."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.servers import ROOT


def measured(*arguments: str) -> str:
    command = [sys.executable, "-m", "benchmarks.performance", *arguments, "--rounds", "1", "--images", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(title: str, text: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {title}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture(scope="module")
def answers() -> str:
    return measured("answers")


def test_it_prints_the_ratios_of_an_answer_to_the_original(answers: str) -> None:
    ours, base = row("Callus: finding", answers), row("the original", answers)
    assert base[2::2] == ["1.00"] * 5
    for value, ratio, of in zip(ours[1::2], ours[2::2], base[1::2], strict=True):
        assert float(ratio) == pytest.approx(float(value) / float(of), rel=0.05, abs=0.01)


def test_it_compares_cold_starts_memory_and_size_with_their_targets(answers: str) -> None:
    for title in ("warm answer", "cold start", "memory", "both bundles"):
        assert re.search(r"\d", row(title, answers)[1])
    assert float(row("both bundles", answers)[1].split()[0]) < 30


def test_an_engine_that_is_not_installed_is_named(answers: str) -> None:
    for engine, package in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
        cells = row(f"Callus's graphs in {engine}", answers)
        assert f"not installed: {package}" in cells[1] or float(cells[2]) > 0


def test_it_prints_what_an_upload_costs() -> None:
    text = measured("uploads")
    for title in ("upload to answer through the API", "web server", "worker, processor ms"):
        small, large, ratio = map(float, row(title, text)[1:])
        assert ratio == pytest.approx(large / small, rel=0.1, abs=0.1)


def test_it_prints_the_ratio_of_training_to_keras() -> None:
    text = measured("training")
    assert row("Keras: `model.fit`", text)[2] == "1.00"
    assert float(row("Callus: the recipe", text)[2]) > 0


def test_it_compares_lossless_encodings() -> None:
    text = measured("files")
    ours, pillow = (
        [float(cell.replace(",", "")) for cell in row(title, text)[1:]]
        for title in ("**PNG, filter Up", "PNG by Pillow, level 3")
    )
    assert ours[-1] <= pillow[-1], "it takes no more space"

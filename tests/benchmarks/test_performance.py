"""The benchmark runs from end to end on a tiny size; the figures themselves are not tested."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.servers import ROOT


@pytest.fixture(scope="module")
def printed() -> str:
    command = [sys.executable, "-m", "benchmarks.performance", "--rounds", "1", "--images", "10"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def row(title: str, text: str) -> list[str]:
    """The cells of the one row that starts with a title."""
    [line] = [line for line in text.splitlines() if line.startswith(f"| {title}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_it_prints_the_ratios_of_an_answer_to_the_original(printed: str) -> None:
    ours, base = row("Callus: finding", printed), row("the original", printed)
    assert base[2::2] == ["1.00"] * 5
    for value, ratio, of in zip(ours[1::2], ours[2::2], base[1::2], strict=True):
        assert float(ratio) == pytest.approx(float(value) / float(of), rel=0.05, abs=0.01)


def test_it_compares_size_and_memory_with_their_targets(printed: str) -> None:
    assert float(row("both bundles", printed)[1].split()[0]) < 30
    assert float(row("memory of a process that answers", printed)[1].split()[0]) < 300
    assert float(row("memory, to", printed)[1]) < 1


def test_an_engine_that_is_not_installed_is_named(printed: str) -> None:
    for engine, package in (("ONNX Runtime", "onnxruntime"), ("OpenVINO", "openvino")):
        cells = row(f"Callus's graphs in {engine}", printed)
        assert f"not installed: {package}" in cells[1] or float(cells[2]) > 0


def test_it_prints_what_an_upload_costs(printed: str) -> None:
    for title in ("upload to answer through the API", "web server", "worker, processor ms"):
        small, large, ratio = map(float, row(title, printed)[1:])
        assert ratio == pytest.approx(large / small, rel=0.1, abs=0.1)


def test_it_prints_the_ratio_of_training_to_keras(printed: str) -> None:
    assert row("Keras: `model.fit`", printed)[2] == "1.00"
    assert float(row("Callus: the recipe", printed)[2]) > 0


def test_stored_files_take_no_more_space_than_those_of_pillow(printed: str) -> None:
    ours, pillow = (
        float(row(title, printed)[-1].replace(",", ""))
        for title in ("**PNG, filter Up", "PNG by Pillow, level 3")
    )
    assert ours <= pillow

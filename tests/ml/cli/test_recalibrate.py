"""The command `python -m ml recalibrate`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ml.__main__ import main
from ml.data.images import read_image
from ml.serve.bundle import SHIPPED, Bundle, differ_by_calibration_only, open_bundle, write_bundle
from ml.serve.finding import FindingPredictor
from tests.ml.recalibration import draw_labelled, recognising_bundle
from tests.servers import ROOT


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of 33 drawn X-rays with a fracture and 33 without, in 11 groups, with boxes."""
    return draw_labelled(tmp_path_factory.mktemp("drawn") / "images", each=33, groups=11, boxes=True)


@pytest.fixture(scope="module")
def bundle(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that was trained on one of the drawn X-rays."""
    digest = hashlib.sha256((drawn.parent / "0.png").read_bytes()).hexdigest()
    return recognising_bundle(tmp_path_factory.mktemp("bundle") / "old", [digest])


@pytest.fixture(scope="module")
def without_boxes(drawn: Path) -> Path:
    """The same table without boxes; it says that another X-ray was converted from a training image."""
    lines = drawn.read_text().splitlines()
    digest = hashlib.sha256((drawn.parent / "0.png").read_bytes()).hexdigest()
    rows = [",".join(line.split(",")[:3]) for line in lines[1:]]
    rows = [f"{row},{digest.upper() if row.startswith('1.png') else ''}" for row in rows]
    table = drawn.with_name("without_boxes.csv")
    table.write_text("\n".join(["image,group,fractured,original_sha256", *rows]) + "\n")
    return table


def command(bundle: Path, table: Path, out: Path, *options: str) -> list[str]:
    return [
        "recalibrate",
        str(bundle),
        str(table),
        "--images",
        str(table.parent),
        "--out",
        str(out),
        *options,
    ]


@pytest.fixture(scope="module")
def recalibrated(
    bundle: Bundle, without_boxes: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Bundle, list[str], str]:
    """The new bundle, the lines on standard output, and the modules that the command loaded.

    In a process of its own, because other tests import TensorFlow.
    """
    out = tmp_path_factory.mktemp("new") / "bundle"
    code = "import sys; from ml.__main__ import main; assert not main(sys.argv[1:]); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, *command(bundle.path, without_boxes, out, "--jsonl")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, modules = done.stdout.splitlines()
    return open_bundle(out), lines, modules


def figures(bundle: Bundle) -> dict[str, Any]:
    assert bundle.finding is not None
    measured: dict[str, Any] = bundle.finding.card["figures"]["recalibrated"]
    return measured


def test_the_new_bundle_has_the_same_networks_and_another_calibration(
    bundle: Bundle, recalibrated: tuple[Bundle, list[str], str], drawn: Path
) -> None:
    new = recalibrated[0]
    assert bundle.finding is not None
    assert new.finding is not None
    assert new.checksum != bundle.checksum
    assert differ_by_calibration_only(bundle, new)
    assert not differ_by_calibration_only(bundle, open_bundle(SHIPPED))
    assert new.card == bundle.card
    assert new.finding.card["figures"]["held_out"] == bundle.finding.card["figures"]["held_out"]
    calibration = new.finding.card["calibration"]
    assert calibration["n"] == 64
    assert calibration["mark_from"] == bundle.finding.card["calibration"]["mark_from"]
    pixels = read_image(drawn.parent / "5.png").pixels
    (before,), (after,) = (FindingPredictor(each.finding).predict([pixels]) for each in (bundle, new))  # type: ignore[arg-type]
    assert before.probability != after.probability


def test_the_card_has_the_figures_before_and_after(recalibrated: tuple[Bundle, list[str], str]) -> None:
    measured = figures(recalibrated[0])
    # One was trained on, another converted from the same file.
    assert measured["left_out"] == {"trained_on": 2, "contradicted": 0, "not_recognised": 0}
    assert (measured["n"], measured["fractured"], measured["groups"]) == (64, 32, 11)
    assert measured["known_to_old_calibration"] == 0
    for when in ("before", "after"):
        found = measured[when]["all"]
        assert found["n"] == 64
        for name in (
            "calibration_error",
            "no_fracture_seen_among_fractured",
            "fracture_seen_among_unfractured",
        ):
            estimate = found[name]
            assert 0 <= estimate["low"] <= estimate["high"] <= 1, name
    for name, of_all in (
        ("calibration_error", "calibration_error"),
        ("missed", "no_fracture_seen_among_fractured"),
        ("false_alarms", "fracture_seen_among_unfractured"),
    ):
        values = [measured[when]["all"][of_all]["value"] for when in ("before", "after")]
        assert measured["differences"][name]["value"] == pytest.approx(values[1] - values[0])
    assert measured["differences"]["calibration_error"]["value"] < 0
    assert measured["thresholds"]["mark_from"]["before"] == measured["thresholds"]["mark_from"]["after"]


def test_progress_is_written_as_json_lines(recalibrated: tuple[Bundle, list[str], str]) -> None:
    events = [json.loads(line) for line in recalibrated[1]]
    assert [event["phase"] for event in events[-2:]] == ["recalibrate", "recalibrate"]
    assert [event["step"] for event in events if event["phase"] == "predict"] == [10, 20, 30, 40, 50, 60, 64]


def test_tensorflow_is_not_loaded(recalibrated: tuple[Bundle, list[str], str]) -> None:
    loaded = {name.partition(".")[0] for name in recalibrated[2].split()}
    assert "ml" in loaded
    assert not loaded & {"tensorflow", "keras"}


def test_boxes_also_set_the_score_threshold_of_further_marks(
    recalibrated: tuple[Bundle, list[str], str],
    drawn: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recalibrates a second time, and the finding alone."""
    first = recalibrated[0].finding
    assert first is not None
    assert main(command(first.path, drawn, tmp_path / "new")) == 0
    second = open_bundle(tmp_path / "new")
    measured = second.card["figures"]["recalibrated"]
    assert measured["known_to_old_calibration"] == 64
    assert measured["before"]["all"]["first_mark_in_a_box"]["n"] == 33
    assert second.card["calibration"]["mark_from"] != first.card["calibration"]["mark_from"]
    printed = capsys.readouterr().out
    assert "65 X-rays in 11 groups, 33 of them fractured" in printed
    assert "Left out: 1 that the network was trained on" in printed
    assert "The old calibration was fitted to 64 of these X-rays" in printed


@pytest.mark.parametrize(
    ("each", "groups", "said"),
    [
        (29, 10, "29 with a fracture and 29 without one, in 10 groups. At least 30 of each, in at least 10"),
        (30, 9, "30 with a fracture and 30 without one, in 9 groups"),
    ],
)
def test_too_few_x_rays_are_refused(
    each: int, groups: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = draw_labelled(tmp_path / "images", each, groups)
    assert main(command(SHIPPED, table, tmp_path / "new")) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_x_rays_that_are_not_recognised_do_not_count(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(command(SHIPPED, drawn, tmp_path / "new")) == 1
    assert "too few X-rays to recalibrate on: 0 with a fracture and 0 without" in capsys.readouterr().err


def test_fractures_of_a_single_group_are_refused(
    drawn: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = drawn.read_text().splitlines()
    table = drawn.with_name("one_group.csv")
    one = [f"{row.split(',')[0]},one,1" if row.split(",")[2] == "1" else row for row in rows[1:]]
    table.write_text("\n".join(["image,group,fractured", *(",".join(row.split(",")[:3]) for row in one)]))
    assert main(command(bundle.path, table, tmp_path / "new")) == 1
    assert "All X-rays with a fracture are in one group" in capsys.readouterr().err


def test_a_bundle_of_the_kind_alone_is_refused(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = open_bundle(SHIPPED)
    kind = write_bundle(tmp_path / "kind", shipped.files(), shipped.card)
    assert main(command(kind.path, drawn, tmp_path / "new")) == 1
    assert "does not answer the finding" in capsys.readouterr().err

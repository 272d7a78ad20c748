"""The command `python -m ml recalibrate`."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import list_calibration_images
from ml.__main__ import main
from ml.data.findings import read_xrays
from ml.data.images import read_image
from ml.evaluate.finding import answer
from ml.serve import out_of_distribution
from ml.serve.bundle import (
    SHIPPED,
    Bundle,
    combine_bundles,
    differ_by_calibration_only,
    open_bundle,
    write_bundle,
)
from ml.serve.finding import FindingPredictor
from ml.serve.out_of_distribution import Distribution
from ml.serve.preprocessing import SourceImage
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


def of_two_sources(bundle: Bundle, drawn: Path, folder: Path) -> Bundle:
    """The bundle with two sources of X-rays, to each of which some drawings are more similar, and two thresholds."""
    assert bundle.finding is not None
    predictor, files = FindingPredictor(bundle.finding), bundle.finding.files()
    pixels = [read_image(path).pixels for path in sorted(drawn.parent.glob("*.png"))[:20]]
    features = [predictor._run(SourceImage(each))[1]["features"] for each in pixels[:2]]
    probabilities = [each.probability for each in predictor.predict(pixels)]
    whitener = np.eye(len(features[0]), dtype=np.float32)
    files[out_of_distribution.FILE] = Distribution(
        np.stack(features), np.stack([whitener] * 2), np.full(2, 1e6, np.float32)
    ).to_bytes()
    higher, lower = (float(np.quantile(probabilities, share)) for share in (0.7, 0.2))
    thresholds = {"seen_from": 0.999, "not_seen_below": higher, "not_seen_below_other_sources": lower}
    card = {**bundle.finding.card, "calibration": {**bundle.finding.card["calibration"], **thresholds}}
    return combine_bundles(bundle, write_bundle(folder / "finding", files, card), folder / "both")


def test_the_lower_threshold_of_other_sources_stays_and_counts_in_the_figures(
    drawn: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = of_two_sources(bundle, drawn, tmp_path)
    table = drawn.with_name("of_two_sources.csv")
    table.write_text("".join(",".join(r.split(",")[:3]) + "\n" for r in drawn.read_text().splitlines()))

    assert main(command(old.path, table, tmp_path / "new")) == 0

    new = open_bundle(tmp_path / "new")
    assert old.finding is not None
    assert new.finding is not None
    calibration, measured = new.finding.card["calibration"], figures(new)
    assert 0 < calibration["not_seen_below_other_sources"] < calibration["not_seen_below"]
    assert 0 < measured["other_sources"]["n"] < measured["n"]
    assert measured["other_sources"]["refitted"] is False
    xrays = [xray for xray in read_xrays(table, drawn.parent, needs_boxes=False) if xray.path.name != "0.png"]
    answered = answer(FindingPredictor(old.finding), xrays, lambda event: None)
    missed = float(answered.not_seen[answered.labels].mean())
    assert measured["before"]["all"]["no_fracture_seen_among_fractured"]["value"] == pytest.approx(missed)
    printed = capsys.readouterr().out
    assert "No fracture seen below, other sources" in printed
    assert "Their lower threshold keeps its rank" in printed

    # A second time on the same X-rays.
    assert main(command(new.path, table, tmp_path / "again")) == 0
    assert "Nothing changed: the new weights and thresholds are the old ones." in capsys.readouterr().out
    again = figures(open_bundle(tmp_path / "again"))
    assert (measured["is_changed"], again["is_changed"]) == (True, False)
    assert again["known_to_old_calibration"] == again["n"]


def test_x_rays_that_are_labelled_the_wrong_way_round_are_refused(
    drawn: Path, bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither score is higher for those with a fracture."""
    first = bundle.finding
    assert first is not None
    predictor = FindingPredictor(first)
    names = [f"{number}.png" for number in range(1, 66)]
    found = [predictor.scores(read_image(drawn.parent / name).pixels) for name in names]
    totals = np.array([[each.map_score, each.pooled_score] for each in found if each])
    sums = totals @ (1 / totals.std(axis=0))
    low = sums < np.median(sums)
    table = drawn.with_name("wrong.csv")
    rows = [
        f"{name},g{number % 11},{int(flag)}"
        for number, (name, flag) in enumerate(zip(names, low, strict=True))
    ]
    table.write_text("\n".join(["image,group,fractured", *rows]) + "\n")
    assert main(command(bundle.path, table, tmp_path / "new")) == 1
    assert "Check the labels." in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_list_of_calibration_images_is_added_to_a_released_bundle(
    drawn: Path, bundle: Bundle, tmp_path: Path
) -> None:
    finding = bundle.finding
    assert finding is not None
    card = {**finding.card, "calibration": {**finding.card["calibration"], "n": 65}}
    released = combine_bundles(bundle, write_bundle(tmp_path / "f", finding.files(), card), tmp_path / "old")
    options = [str(released.path), str(drawn), "--images", str(drawn.parent), "--out", str(tmp_path / "new")]
    assert list_calibration_images.main(options) == 0

    assert main(command(tmp_path / "new", drawn, tmp_path / "recalibrated")) == 0

    assert figures(open_bundle(tmp_path / "recalibrated"))["known_to_old_calibration"] == 65


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("5.png,g,1,nan nan nan nan", "a box is not 'x y width height'"),
        ("5.png,g,1,1 1 inf inf", "a box is not 'x y width height'"),
        ("5.png,g,1,-inf 1 2 2", "a box is not 'x y width height'"),
        ("5\0.png,g,1,", "is not a file name"),
        ("5.png", "fractured is '', not 0 or 1"),
    ],
)
def test_a_table_with_an_invalid_row_is_refused_in_one_sentence(
    drawn: Path, tmp_path: Path, row: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table = drawn.with_name("invalid.csv")
    table.write_text(f"image,group,fractured,boxes\n{row}\n")
    assert main(command(SHIPPED, table, tmp_path / "new")) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "line 2" in error

"""The command line: python -m ml."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ml import __version__
from ml.__main__ import main
from ml.data import out_of_distribution_images
from ml.data.manifests import Manifest
from ml.serve.bundle import REQUIRED_FILES, SHIPPED, Bundle, open_bundle
from tests.ml.drawings import draw_bone


@pytest.fixture
def bone(tmp_path: Path) -> Path:
    path = tmp_path / "bone.png"
    Image.fromarray(draw_bone()).save(path)
    return path


@pytest.mark.parametrize(
    ("called", "shown"), [("/opt/bin/callus-ml", "callus-ml"), ("ml/__main__.py", "python -m ml")]
)
def test_the_help_names_the_program_as_it_was_called(
    called: str, shown: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {shown} [-h]")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_predict_writes_one_line_per_file(
    bone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = tmp_path / "letter.jpg"
    letter.write_text("Dear radiologist")
    missing = tmp_path / "missing.png"
    assert main(["predict", "--jsonl", str(bone), str(letter), str(missing)]) == 0
    answered, refused, absent = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert answered["file"] == str(bone)
    assert {"class", "confidence", "probabilities", "abstained", "in_distribution"} <= set(answered)
    assert sum(answered["probabilities"].values()) == pytest.approx(1)
    assert refused == {"file": str(letter), "error": "The file is not a JPEG, PNG or DICOM image."}
    assert absent["error"] == "The file cannot be read: No such file or directory."


def test_predict_says_the_finding_first(bone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "--jsonl", str(bone)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["finding"] in ("fracture seen", "doubtful", "no fracture seen", None)
    assert (answer["finding"] is None) == (answer["fracture_probability"] is None)
    assert len(answer["marks"]) <= 3
    for mark in answer["marks"]:
        assert set(mark) == {"x", "y", "width", "height", "score"}
    assert len(answer["kinds"]) <= 3
    if answer["finding"] not in ("fracture seen", "doubtful"):
        assert answer["kinds"] == []
    assert answer["body_part"] in ("hand", "leg", "hip", "shoulder", "several", None)
    assert isinstance(answer["kind_uncertain"], bool)


def test_predict_gives_a_document_no_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "letter.png"
    Image.fromarray(out_of_distribution_images.render_images(per_kind=1)["document"][0]).save(path)
    assert main(["predict", "--jsonl", str(path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["finding"], answer["fracture_probability"], answer["marks"]) == (None, None, [])
    assert (answer["kinds"], answer["body_part"]) == ([], None)


def test_predict_fails_only_if_no_file_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tmp_path / "missing.png")]) == 1
    assert "cannot be read" in capsys.readouterr().out


def test_predict_says_that_it_is_not_a_diagnosis(bone: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(bone)]) == 0
    assert "Not a diagnosis" in capsys.readouterr().out


def test_a_broken_bundle_is_reported_in_one_sentence(
    bone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--bundle", str(tmp_path), str(bone)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_stopped_training_resumes_with_the_same_command(drawn: Manifest, tmp_path: Path) -> None:
    drawn.write(tmp_path / "manifest.csv")
    command = [
        *(sys.executable, "-m", "ml", "train", str(tmp_path / "manifest.csv")),
        *("--images", str(drawn.root), "--recipe", "tiny", "--epochs", "3"),
        *("--out", str(tmp_path / "bundle"), "--work", str(tmp_path / "work"), "--jsonl"),
    ]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if json.loads(line)["phase"] == "fold 1":
                process.send_signal(signal.SIGTERM)
                break
        process.stdout.read()
        message = process.stderr.read()
    assert process.returncode == 143, message
    assert message == "Training stopped. Run the same command again to resume.\n"
    assert not (tmp_path / "bundle").exists()

    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert set(events[0]) == {"phase", "epoch", "epochs", "step", "steps", "metrics", "seconds_left"}
    assert not any(event["phase"] == "decode" and event["steps"] > 10 for event in events)
    assert events[-1]["phase"] == "measure"
    assert open_bundle(tmp_path / "bundle").classes == drawn.classes


def test_an_unknown_recipe_is_reported_in_one_sentence(
    drawn: Manifest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn.write(tmp_path / "manifest.csv")
    arguments = ["train", str(tmp_path / "manifest.csv"), "--images", str(drawn.root)]
    assert main([*arguments, "--recipe", "magic", "--out", str(tmp_path / "bundle")]) == 1
    assert "Unknown recipe: 'magic'. Choose one of probe, efficient_top, top" in capsys.readouterr().err


@pytest.fixture(scope="module")
def finding() -> Bundle:
    shipped = open_bundle(SHIPPED).finding
    assert shipped is not None
    return shipped


def test_a_bundle_of_the_finding_alone_is_refused_in_one_sentence(
    finding: Bundle, bone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(bone), "--bundle", str(finding.path)]) == 1
    assert "does not answer the kind of fracture" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("checksums", "said"),
    [
        ("[" * 100_000, "not valid JSON"),
        (json.dumps({**dict.fromkeys(REQUIRED_FILES, ""), "a\0b": ""}), "cannot be read"),
        (json.dumps({"a\0b": "", **dict.fromkeys(REQUIRED_FILES, "")}), "is not a file name"),
        (json.dumps({"\ud800": "", **dict.fromkeys(REQUIRED_FILES, "")}), "is not a file name"),
    ],
)
def test_a_bundle_with_invalid_checksums_is_refused_in_one_sentence(
    bone: Path, tmp_path: Path, checksums: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checksums.json").write_text(checksums)
    assert main(["predict", str(bone), "--bundle", str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


def test_nothing_is_written_into_a_bundle(
    finding: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SHIPPED, tmp_path / "both")
    before = open_bundle(tmp_path / "both").checksum
    for folder in ("finding", "new/deeper"):
        out = tmp_path / "both" / folder
        assert main(["combine", str(SHIPPED), str(finding.path), "--out", str(out)]) == 1
        assert "lies in the bundle" in capsys.readouterr().err
    assert open_bundle(tmp_path / "both").checksum == before

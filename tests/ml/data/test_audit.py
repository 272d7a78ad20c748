"""The audit finds duplicates, conflicts and unreadable files, and writes a manifest without leakage."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ml.__main__ import main
from ml.data.manifests import Manifest
from tests.ml.drawings import draw_bone, write_data_set


def run(folder, out, *more):
    return main(["audit", str(folder), "--out", str(out), *map(str, more)])


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Four images of each of three kinds, with typical errors of a published data set."""
    root = tmp_path_factory.mktemp("data")
    for path in write_data_set(root, each=4):
        (path.parent / "Train").mkdir(exist_ok=True)
        path.rename(path.parent / "Train" / path.name)
    (root / "Oblique" / "Test").mkdir()
    shutil.copy(root / "Oblique/Train/00.png", root / "Oblique/Test/same-file.png")
    mirrored = np.ascontiguousarray(np.fliplr(draw_bone("Oblique", 1)))
    Image.fromarray(mirrored).save(root / "Oblique/Test/mirrored.jpg", quality=80)
    Image.fromarray(draw_bone("Transverse", 2)).save(root / "Comminuted/Train/other-label.jpg", quality=85)
    (root / "Oblique/Train/torn.png").write_bytes((root / "Oblique/Train/00.png").read_bytes()[:900])
    (root / "Oblique/Train/notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def audited(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    assert run(data, out) == 0
    return out, json.loads((out / "report.json").read_text()), Manifest.read(out / "manifest.csv", data)


def test_the_manifest_lists_every_readable_image_without_conflicting_labels_once(data, audited):
    _, report, manifest = audited
    listed = {item.path for item in manifest.items}
    dropped = {member["path"] for members in report["conflicts"] for member in members}
    assert dropped == {"Transverse/Train/02.png", "Comminuted/Train/other-label.jpg"}
    assert (
        listed
        == {
            file.relative_to(data).as_posix()
            for file in data.rglob("*")
            if file.suffix in (".png", ".jpg") and file.name != "torn.png"
        }
        - dropped
    )
    assert report["num_images"] == 15
    assert report["num_kept"] == len(manifest.items) == 13


def test_exact_and_near_duplicates_are_distinguished_and_in_one_group(audited):
    _, report, manifest = audited
    assert report["exact_duplicates"] == [["Oblique/Test/same-file.png", "Oblique/Train/00.png"]]
    near = {(pair["first"], pair["second"]): pair for pair in report["near_duplicates"]}
    assert near["Oblique/Test/mirrored.jpg", "Oblique/Train/01.png"]["mirrored"]
    assert len(near) == 2
    group = {item.path: item.group for item in manifest.items}
    assert group["Oblique/Test/same-file.png"] == group["Oblique/Train/00.png"]
    assert group["Oblique/Test/mirrored.jpg"] == group["Oblique/Train/01.png"]
    assert len(set(group.values())) == 11


def test_unreadable_files_are_listed_with_the_reason_and_other_files_are_ignored(audited):
    _, report, _ = audited
    (unreadable,) = report["unreadable"]
    assert unreadable["path"] == "Oblique/Train/torn.png"
    assert "cut off" in unreadable["reason"] or "damaged" in unreadable["reason"]
    assert report["ignored"] == ["Oblique/Train/notes.txt"]


def test_leakage_of_the_published_split_is_counted(audited):
    assert audited[1]["published_leaks"] == {
        "test_images": 2,
        "exact": 1,
        "near": 1,
        "file_name": 0,
        "any": 2,
    }


def test_the_report_loads_no_other_files(audited):
    page = (audited[0] / "report.html").read_text()
    assert "<svg" in page
    assert page.count("data:image/jpeg;base64,") >= 15
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:|#)""", page.replace("xlink:href", "href"))
    assert "<script" not in page
    assert "2 of its 2 test images (100 %)" in page


def test_file_names_are_escaped_in_the_report(tmp_path):
    write_data_set(tmp_path / "data", ["Oblique"], each=2)
    folder = tmp_path / "data" / "<script>alert(1)<"
    (tmp_path / "data" / "Oblique").rename(folder)
    (folder / "00.png").rename(folder / '"><img onerror=x>.png')
    assert run(tmp_path / "data", tmp_path / "out") == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "<img onerror" not in page


def test_the_same_audit_gives_the_same_manifest(data, audited, tmp_path):
    run(data, tmp_path)
    assert (tmp_path / "manifest.csv").read_bytes() == (audited[0] / "manifest.csv").read_bytes()


def test_images_keep_their_split_and_copies_of_test_images_join_it_when_data_is_added(
    data, audited, tmp_path
):
    _, _, before = audited
    grown = tmp_path / "data"
    shutil.copytree(data, grown)
    tested = next(item for item in before.items if item.split == "test")
    Image.open(grown / tested.path).rotate(90, expand=True).save(
        grown / tested.label / "Train" / "a-new-copy.png"
    )
    for number in range(4, 8):
        Image.fromarray(draw_bone("Oblique", number)).save(grown / "Oblique/Train" / f"new-{number}.png")
    assert run(grown, tmp_path / "out", "--previous", audited[0] / "manifest.csv") == 0
    after = {item.path: item for item in Manifest.read(tmp_path / "out/manifest.csv", grown).items}
    assert {item.path: after[item.path].split for item in before.items} == {
        item.path: item.split for item in before.items
    }
    assert after[f"{tested.label}/Train/a-new-copy.png"].split == "test"
    assert after[f"{tested.label}/Train/a-new-copy.png"].group == after[tested.path].group


def test_known_groups_are_in_one_split(data, tmp_path):
    with (tmp_path / "groups.csv").open("w", newline="") as file:
        rows = [("Oblique/Train/02.png", "p1"), ("03.png", "p2"), ("Comminuted/Train/01.png", "p1")]
        csv.writer(file).writerows([("path", "group"), *rows[::2]])
    assert run(data, tmp_path / "out", "--groups", tmp_path / "groups.csv") == 0
    items = {item.path: item for item in Manifest.read(tmp_path / "out/manifest.csv", data).items}
    one, other = items["Oblique/Train/02.png"], items["Comminuted/Train/01.png"]
    assert one.group == other.group == "p1"
    assert one.split == other.split


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("path,patient\na,b\n", "needs the columns"),
        ("path,group\nmissing.png,p1\n", "missing.png"),
        ("path,group\nOblique/Train/02.png,\n", "has no group"),
        ("path,group\n02.png,p1\n", "or several"),
    ],
)
def test_groups_of_unknown_images_are_refused(data, tmp_path, capsys, content, error):
    (tmp_path / "groups.csv").write_text(content)
    assert run(data, tmp_path / "out", "--groups", tmp_path / "groups.csv") == 1
    assert error in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_progress_is_written_as_json_lines(data, tmp_path, capsys):
    assert run(data, tmp_path, "--jsonl") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["phase"] for event in events} == {"read", "compare"}
    assert events[-1]["step"] == events[-1]["steps"]


def test_a_folder_without_classes_is_refused_in_one_sentence(tmp_path, capsys):
    assert run(tmp_path, tmp_path / "out") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()

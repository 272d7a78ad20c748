"""Manifests are read as they were written, and invalid or leaking ones are refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from ml.data.finding_labels import FindingLabels
from ml.data.manifests import DatasetRefused, Item, Manifest, read_class_folder
from tests.ml.drawings import write_data_set


def item(path="Oblique/1.png", group="g-1", split="train", label="Oblique"):
    return Item(path, "0" * 64, 100, 200, label, group, split)


def test_a_manifest_with_unusual_names_is_read_as_it_was_written(tmp_path):
    odd = 'Oblique/a, "b"\né\u202e.png'
    written = Manifest.of(tmp_path, [item("Oblique/2.png", "g-2", "test"), item(odd)])
    written.write(tmp_path / "deep" / "manifest.csv")
    assert Manifest.read(tmp_path / "deep" / "manifest.csv", tmp_path) == written


def test_the_checksum_depends_on_every_value_but_not_on_the_order():
    one, two = item("Oblique/1.png"), item("Oblique/2.png", "g-2", "test")
    root = Path("/nowhere")
    checksum = Manifest.of(root, [one, two]).checksum()
    assert Manifest.of(root, [two, one]).checksum() == checksum
    moved = Manifest.of(root, [one, item("Oblique/2.png", "g-2", "train")])
    assert moved.checksum() != checksum


def test_subset_and_classes_are_in_canonical_order():
    items = [item("b", "1", "train", "B"), item("a", "2", "train", "A"), item("c", "3", "test", "A")]
    manifest = Manifest.of(Path("/nowhere"), items)
    assert [one.path for one in manifest.subset("train")] == ["a", "b"]
    assert manifest.classes == ["A", "B"]


def test_what_is_known_of_a_fracture_is_read_as_it_was_written(tmp_path):
    parts = (False, True, False, False)
    broken = FindingLabels(True, ((1.5, 2, 30, 1 / 3),), parts, "f" * 64)
    items = [
        replace(item("Oblique/1.png"), finding=broken),
        replace(item("no-kind/2.png", "g-2", "test", "no-kind"), finding=FindingLabels(False)),
        item("Oblique/3.png", "g-3"),
    ]
    written = Manifest.of(tmp_path, items)
    written.write(tmp_path / "manifest.csv")
    assert Manifest.read(tmp_path / "manifest.csv", tmp_path) == written
    assert written.classes == ["Oblique"]


def test_the_kinds_of_a_manifest_with_findings_are_the_manifest_of_the_kinds_alone():
    kinds = [item("Oblique/1.png"), item("Oblique/3.png", "g-3", "test")]
    found = [replace(each, finding=FindingLabels(True)) for each in kinds]
    unbroken = replace(item("no-kind/2.png", "g-2", "test", "no-kind"), finding=FindingLabels(False))
    whole = Manifest.of(Path("/nowhere"), [*found, unbroken])
    assert whole.with_kinds().checksum() == Manifest.of(Path("/nowhere"), kinds).checksum()
    with pytest.raises(DatasetRefused, match="no images with a kind"):
        Manifest.of(Path("/nowhere"), [unbroken]).with_kinds()


@pytest.mark.parametrize(
    ("values", "error"),
    [("2,,,,,,", "fractured is '2'"), ("0,1 2 3 4,,,,,", "without a fracture"), ("1,1 2 3,,,,,", "a box")],
)
def test_a_manifest_with_an_impossible_finding_is_refused(tmp_path, values, error):
    table = tmp_path / "manifest.csv"
    Manifest.of(tmp_path, [replace(item(), finding=FindingLabels(True))]).write(table)
    table.write_text(table.read_text().replace("1,,,,,,\n", f"{values}\n"))
    with pytest.raises(DatasetRefused, match=f"line 2: .*{error}"):
        Manifest.read(table, tmp_path)


def test_a_group_in_two_splits_is_refused():
    with pytest.raises(DatasetRefused, match="in one split"):
        Manifest.of(Path("/nowhere"), [item("a", split="train"), item("b", split="test")])


GOOD = "Oblique/1.png," + "a" * 64 + ",10,20,Oblique,g,train"


@pytest.mark.parametrize(
    ("row", "error"),
    [
        (GOOD.replace("Oblique/1.png", "../1.png"), "not a path inside"),
        (GOOD.replace("Oblique/1.png", "/etc/passwd"), "not a path inside"),
        (GOOD.replace(",10,", ",-1,"), "must be positive integers"),
        (GOOD.replace("a" * 64, "abc"), "SHA-256"),
        (GOOD.replace(",train", ",holdout"), "holdout"),
        (GOOD.replace(",g,", ",,"), "no group"),
        (GOOD + ",more", "8 columns"),
        (GOOD + "\n" + GOOD, "twice"),
    ],
)
def test_an_invalid_row_is_refused_with_the_reason(tmp_path, row, error):
    path = tmp_path / "manifest.csv"
    path.write_text(f"path,sha256,width,height,label,group,split\n{row}\n")
    with pytest.raises(DatasetRefused, match=error):
        Manifest.read(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\xff\xfe\x00", None])
def test_other_files_than_manifests_are_refused(tmp_path, content):
    path = tmp_path / "manifest.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DatasetRefused):
        Manifest.read(path, tmp_path)


def test_classes_are_folder_names_and_folders_of_a_published_split_are_recognised(tmp_path):
    write_data_set(tmp_path, ["Oblique"], each=2)
    (tmp_path / "Not fractured" / "Train").mkdir(parents=True)
    (tmp_path / "Not fractured" / "Test").mkdir()
    for place in ("Train/a.JPG", "Test/b.dcm", "Train/notes.txt", "Train/.c.png"):
        (tmp_path / "Not fractured" / place).touch()
    (tmp_path / "__MACOSX" / "Oblique").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "Oblique" / "a.png").touch()
    (tmp_path / "README.txt").touch()
    found = read_class_folder(tmp_path)
    assert [(file.path, file.label, file.split_folder) for file in found.files] == [
        ("Not fractured/Test/b.dcm", "Not fractured", "Test"),
        ("Not fractured/Train/a.JPG", "Not fractured", "Train"),
        ("Oblique/00.png", "Oblique", ""),
        ("Oblique/01.png", "Oblique", ""),
    ]
    assert found.ignored == [
        "Not fractured/Train/.c.png",
        "Not fractured/Train/notes.txt",
        "README.txt",
        "__MACOSX/Oblique/a.png",
    ]


def test_an_empty_class_or_folder_is_refused(tmp_path):
    with pytest.raises(DatasetRefused, match="does not exist"):
        read_class_folder(tmp_path / "missing")
    with pytest.raises(DatasetRefused, match="has no images"):
        read_class_folder(tmp_path)
    write_data_set(tmp_path, ["Oblique"], each=1)
    (tmp_path / "Spiral").mkdir()
    with pytest.raises(DatasetRefused, match="'Spiral' has no images"):
        read_class_folder(tmp_path)

"""What a zip of class folders may hold, judged before a byte is unpacked, and held to while unpacking."""

import io
import stat
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from classifier.datasets import zip_checks, zip_intake
from classifier.datasets.zip_checks import ZipRefused
from classifier.datasets.zip_intake import check_classes, read_contents, unpack
from tests.data_sets import zip_of
from tests.zip_attacks import hidden_crowd

IMAGE = b"not looked into here"


def contents_of(*names: str) -> zip_intake.Contents:
    return read_contents(io.BytesIO(zip_of(dict.fromkeys(names, IMAGE))))


def refusal(data: bytes) -> str:
    with pytest.raises(ZipRefused) as refused:
        read_contents(io.BytesIO(data))
    return str(refused.value)


def zip_with(name: str, *, data: bytes = IMAGE, mode: int = 0, flags: int = 0, method: int = 0) -> bytes:
    """A zip of one good image and one entry of this kind."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("A/good.png", IMAGE)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        info.compress_type = method
        archive.writestr(info, data)
    patched = bytearray(content.getvalue())
    if flags:
        entry = patched.rindex(b"PK\x01\x02")
        struct.pack_into("<H", patched, entry + 8, flags)
    return bytes(patched)


@pytest.mark.parametrize(
    "names",
    [
        ["A/1.png", "B/1.png"],
        ["A/Train/1.png", "A/Test/1.png", "B/Train/1.png"],
        ["Train/A/1.png", "Test/A/1.png", "Train/B/1.png"],
        ["set/A/1.png", "set/B/1.png"],
        ["set/set/A/Train/1.png", "set/set/B/Test/1.png"],
    ],
)
def test_class_folders_are_found_below_wrapping_folders_and_around_train_and_test(names: list[str]) -> None:
    found = contents_of(*names)

    assert found.classes == ["A", "B"]
    assert {entry.path.parts[0] for entry in found.entries} == {"A", "B"}
    assert len(found.entries) == len(names)


def test_what_systems_and_publishers_add_is_ignored() -> None:
    found = contents_of(
        "A/1.png", "__MACOSX/A/._1.png", "A/.DS_Store", ".git/x.png", "README.roboflow.txt", "A/Thumbs.db"
    )

    assert [str(entry.path) for entry in found.entries] == ["A/1.png"]
    assert found.num_ignored == 5


@pytest.mark.parametrize(
    "name", ["/etc/1.png", "../1.png", "A/../../1.png", "C:/A/1.png", "A\\1.png", "\\\\host\\A\\1.png"]
)
def test_a_name_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    assert "points outside its folder" in refusal(zip_with(name))


@pytest.mark.parametrize("name", ["A/1\n.png", "A/\x1b[2J.png", "A/1\x00.png"])
def test_a_name_with_control_characters_is_refused(name: str) -> None:
    # Python cuts names at a zero byte, so this one is written into the finished zip.
    data = zip_with(name.replace("\x00", "!")).replace(b"1!.png", b"1\x00.png")
    assert "contains invisible characters" in refusal(data)


def test_a_name_that_no_file_system_takes_is_refused() -> None:
    assert "too long" in refusal(zip_with(f"A/{'x' * 250}.png"))


@pytest.mark.parametrize(
    ("mode", "error"),
    [(stat.S_IFLNK, "a link"), (stat.S_IFIFO, "not a regular file"), (stat.S_IFCHR, "not a regular file")],
)
def test_links_and_special_files_are_refused(mode: int, error: str) -> None:
    assert error in refusal(zip_with("A/link.png", data=b"/etc/passwd", mode=mode | 0o777))


def test_an_encrypted_zip_is_refused() -> None:
    assert "without a password" in refusal(zip_with("A/1.png", flags=1))


def test_an_unusual_compression_is_refused() -> None:
    assert "unsupported compression method" in refusal(zip_with("A/1.png", method=zipfile.ZIP_LZMA))


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 100, zip_of({"A/1.png": IMAGE})[:-30]])
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    assert refusal(data) == "This file is not a zip, or it is damaged."


def test_a_zip_without_images_is_refused() -> None:
    assert "contains no images" in refusal(zip_of({"notes.txt": b"x", "A/readme.md": b"x"}))


def test_a_class_without_images_is_refused() -> None:
    assert refusal(zip_of({"A/1.png": IMAGE, "B/": b""})) == "The class 'B' contains no images."
    assert refusal(zip_of({"A/1.png": IMAGE, "B/notes.txt": b"x"})) == "The class 'B' contains no images."
    assert refusal(zip_of({"s/A/1.png": IMAGE, "s/B/Train/": b""})) == "The class 'B' contains no images."


def test_class_folders_at_different_depths_are_refused() -> None:
    assert "in the same folder" in refusal(zip_of({"A/1.png": IMAGE, "more/B/1.png": IMAGE}))


def test_an_image_in_no_class_folder_is_refused() -> None:
    assert "not in a class folder" in refusal(zip_of({"A/1.png": IMAGE, "1.png": IMAGE}))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_image_that_is_there_twice_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("A/1.png", IMAGE)
        archive.writestr("A/1.PNG", IMAGE)
    assert "twice" in refusal(content.getvalue())


def test_more_than_a_hundred_thousand_entries_are_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for number in range(zip_checks.MAX_ENTRIES + 1):
            archive.writestr(zipfile.ZipInfo(f"A/{number}.png"), b"")
    assert refusal(content.getvalue()) == "This zip has more than 100,000 entries."


def test_a_table_of_contents_that_would_fill_the_memory_is_refused_unread() -> None:
    data = bytearray(zip_of({"A/1.png": IMAGE}))
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 12, zip_checks.MAX_CONTENTS_BYTES + 1)
    assert refusal(bytes(data)) == "The table of contents of this zip exceeds 32 MB."


def test_a_zip_bomb_is_refused() -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"A/{number}.png", bytes(20 * 1024**2))
    assert "too large when unpacked" in refusal(content.getvalue())


def test_an_entry_that_is_larger_than_it_says_is_refused_while_unpacking(tmp_path: Path) -> None:
    data = bytearray(zip_of({"A/1.png": b"x" * 5000}))
    # The sizes in the table of contents, and in the entry's own head.
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<I", data, data.index(mark) + offset, 10)
    file = io.BytesIO(bytes(data))

    with pytest.raises(ZipRefused):
        unpack(file, read_contents(file), tmp_path, lambda number: None)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.png")) <= 10


def test_a_damaged_entry_is_refused_while_unpacking(tmp_path: Path) -> None:
    data = bytearray(zip_of({"A/1.png": b"x" * 500}))
    data[100] ^= 0xFF
    file = io.BytesIO(bytes(data))

    with pytest.raises(ZipRefused, match="damaged"):
        unpack(file, read_contents(file), tmp_path, lambda number: None)


def test_an_entry_that_claims_to_begin_before_the_file_is_refused() -> None:
    data = bytearray(zip_of({"A/1.png": b"x" * 500}))
    # The table of contents is said to lie further back than it does, so the entry's place is negative.
    struct.pack_into("<I", data, data.rindex(b"PK\x05\x06") + 16, 0x00FF0000)
    assert "entries overlap" in refusal(bytes(data))


def test_images_are_unpacked_into_their_class_folders(tmp_path: Path) -> None:
    file = io.BytesIO(zip_of({"set/A/Train/1.png": b"one", "set/B/Test/2.png": b"two"}))
    progress: list[int] = []

    unpack(file, read_contents(file), tmp_path / "images", progress.append)

    unpacked = tmp_path / "images"
    files = {path.relative_to(unpacked).as_posix(): path.read_bytes() for path in unpacked.rglob("*.png")}
    assert files == {"A/Train/1.png": b"one", "B/Test/2.png": b"two"}
    assert progress == [1, 2]


def test_classes_must_be_the_expected_ones() -> None:
    check_classes(["A", "B"], ["B", "A"])
    with pytest.raises(ZipRefused, match=r"the unknown class 'C'"):
        check_classes(["A", "C"], ["A", "B"])
    with pytest.raises(ZipRefused, match=r"lacks the class 'B'"):
        check_classes(["A"], ["A", "B"])


def test_entries_that_the_zip_conceals_are_counted_before_python_reads_them() -> None:
    """The table of contents says that there is one. Python would make objects of 300 MB of them."""
    data = hidden_crowd(700_000)
    file = io.BytesIO(data)
    tracemalloc.start()
    try:
        with pytest.raises(ZipRefused, match="This zip has more than 100,000 entries"):
            read_contents(file)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * len(data)

"""Files and folders are there complete or not at all."""

from pathlib import Path

import pytest

from ml.files import whole_file, whole_folder


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with whole_file(target, mode=0o600) as aside:
        aside.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert target.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("before")
    with pytest.raises(ValueError, match="half"), whole_file(target) as aside:
        aside.write_text("half")
        raise ValueError("half")
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("replace", "kept"), [(False, "first"), (True, "second")])
def test_a_folder_that_is_there_stays_unless_it_is_to_be_replaced(
    tmp_path: Path, replace: bool, kept: str
) -> None:
    target = tmp_path / "below" / "folder"
    for text in ("first", "second"):
        with whole_folder(target, replace=replace) as aside:
            (aside / "a.txt").write_text(text)
    assert (target / "a.txt").read_text() == kept
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="half"), whole_folder(tmp_path / "folder") as aside:
        (aside / "a.txt").write_text("half")
        raise ValueError("half")
    assert list(tmp_path.iterdir()) == []

"""Thousands of broken files, the same in every run; docs/file-intake.md has the figures of the long runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

INPUTS = 3000


@pytest.mark.parametrize("what", ["images", "zips"])
def test_every_broken_file_is_read_within_the_limits_or_refused_in_one_known_sentence(
    what: str, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        what,
        "--inputs",
        str(INPUTS),
        "--keep",
        str(tmp_path / "kept"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{INPUTS:,} inputs: ")
    read, refused = (
        int(re.search(rf"([\d,]+) {kind}", done.stdout)[1].replace(",", "")) for kind in ("read", "refused")
    )
    assert min(read, refused) > INPUTS // 10, "else most files were broken before their decoder saw them"
    known = sentences_of_the_documentation()
    sentences = set(re.findall(r"^ +[\d,]+ (.+)$", done.stdout, re.M))
    assert len(sentences) > 10
    assert sentences - known == set()


def sentences_of_the_documentation() -> set[str]:
    text = (ROOT / "docs" / "file-intake.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.M))

"""docs/file-intake.md names every sentence with which a picture or a zip is refused, and what is read of DICOM."""

import ast
import re
from collections.abc import Iterator

import pytest
from pydicom.datadict import tag_for_keyword

from ml.data.dicom import TAGS
from tests.servers import ROOT

DOCUMENT = (ROOT / "docs" / "file-intake.md").read_text(encoding="utf-8")
DOCUMENTED = re.findall(r"^\| `([^`]+)` \|", DOCUMENT, re.M)
REFUSALS = {"ImageRefused", "ZipRefused"}


def sentences() -> Iterator[tuple[str, str]]:
    """Each sentence in the source as a pattern, and the file it is in."""
    for path in [
        *(ROOT / "ml").rglob("*.py"),
        *(ROOT / "classifier/datasets").rglob("*.py"),
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSALS:
                text = node.args[0]
                if isinstance(text, ast.Constant | ast.JoinedStr):
                    yield "".join(patterns(text)), path.name
    limits = ast.parse((ROOT / "ml" / "data" / "image_limits.py").read_text(encoding="utf-8"))
    for node in limits.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield re.escape(node.value.value), "image_limits.py"


def patterns(text: ast.expr) -> Iterator[str]:
    if isinstance(text, ast.Constant):
        yield re.escape(str(text.value))
    elif isinstance(text, ast.JoinedStr):
        for value in text.values:
            yield from patterns(value) if isinstance(value, ast.Constant) else [".+"]


@pytest.mark.parametrize(("pattern", "file"), list(sentences()))
def test_a_refusal_is_documented(pattern: str, file: str) -> None:
    assert any(re.fullmatch(pattern, sentence) for sentence in DOCUMENTED), f"{file}: {pattern}"


@pytest.mark.parametrize("keyword", TAGS)
def test_what_is_read_of_a_dicom_file_is_documented(keyword: str) -> None:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    assert f"({tag >> 16:04X},{tag & 0xFFFF:04X})" in DOCUMENT

"""Writes the table of docs/file-intake.md that says what becomes of each kind of file: python -m tests.intake_table"""

from __future__ import annotations

import re
from itertools import groupby

from tests.intake_cases import Case
from tests.intake_dicom import DICOM_CASES
from tests.intake_photographs import JPEG_CASES, PNG_CASES
from tests.servers import ROOT

CASES: list[Case] = [*JPEG_CASES, *PNG_CASES, *DICOM_CASES]
DOCUMENT = ROOT / "docs" / "file-intake.md"
BEGIN, END = "<!-- kinds of files: begin -->", "<!-- kinds of files: end -->"


def table() -> str:
    """Returns the table: what is read in one row for each format, and a row for each sentence of a refusal."""
    lines = [BEGIN, "| file | kinds | outcome |", "|---|---|---|"]
    for name, cases in groupby(CASES, key=lambda case: case.format):
        kinds: dict[str, list[str]] = {}
        for case in cases:
            outcome = f"`{case.expected}`" if isinstance(case.expected, str) else "read"
            kinds.setdefault(outcome, []).append(case.kind)
        lines += [f"| {name} | {'; '.join(each)} | {outcome} |" for outcome, each in kinds.items()]
    return "\n".join([*lines, END])


if __name__ == "__main__":
    text = DOCUMENT.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.S)
    DOCUMENT.write_text(pattern.sub(lambda _: table(), text), encoding="utf-8")

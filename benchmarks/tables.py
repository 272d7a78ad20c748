"""Markdown tables, and the marked sections of documents that benchmarks update."""

import os
import platform
import re
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
LOAD_BEFORE = os.getloadavg()[0]


def table(header: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """Returns a Markdown table."""
    header = list(header)
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def fill(path: Path, name: str, text: str) -> None:
    """Replaces the text between <!-- name --> and <!-- end --> in a document, and wraps its sentences."""
    text = "\n".join(
        line if line.startswith("|") else textwrap.fill(line, 120, break_on_hyphens=False)
        for line in text.split("\n")
    )
    document = path.read_text(encoding="utf-8")
    between = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.S)
    if not between.search(document):
        raise SystemExit(f"{path} has no section {name!r}.")
    path.write_text(between.sub(lambda found: f"{found[1]}{text}\n{found[2]}", document), encoding="utf-8")


def when_and_where() -> str:
    """Returns the date, the machine and its load before the benchmark, for the line below a table."""
    machine = f"{os.cpu_count()} processors ({platform.machine()}), load {LOAD_BEFORE:.1f} before it began"
    return f"{time.strftime('%Y-%m-%d')}, {machine}"

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
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")


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
    machine = f"{os.cpu_count()} processors ({processor()}), load {LOAD_BEFORE:.1f} before it began"
    return f"{time.strftime('%Y-%m-%d')}, {machine}"


def processor() -> str:
    """Returns the name of the processor, and those of its instruction sets that decide how fast networks are."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return platform.machine()
    fields = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    flags = [flag for flag in INSTRUCTION_SETS if flag in fields.get("flags", "").split()]
    return ", ".join([fields.get("model name", platform.machine()).strip(), *flags])

"""docs/authorisation.md as data: who may do what at which address."""

import re
from dataclasses import dataclass
from typing import Any

from django.urls import URLPattern

from tests.servers import ROOT

PAGE = ROOT / "docs/authorisation.md"


@dataclass(frozen=True)
class Row:
    """One line of a table, by column, and the heading it stands under."""

    section: str
    cells: dict[str, str]

    @property
    def address(self) -> str:
        return self.cells["address"].strip("`")

    @property
    def methods(self) -> list[str]:
        """GET stands for HEAD too."""
        named = self.cells["methods"].split(", ")
        return [*named, "HEAD"] if "GET" in named else named


def read_rows(first_column: str) -> list[Row]:
    """The rows of all tables whose first column has this name."""
    rows: list[Row] = []
    section, columns = "", list[str]()
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not columns:
            columns = cells
        elif columns[0] == first_column and not set(line) <= set("|- "):
            rows.append(Row(section, dict(zip(columns, cells, strict=True))))
    return rows


def addresses(patterns: Any, before: str = "/") -> list[str]:
    """The address of every URL pattern, spelled as in the tables: `/radiographs/<radiograph_id>/`."""
    found: list[str] = []
    for pattern in patterns:
        address = before + plain(str(pattern.pattern))
        found += [address] if isinstance(pattern, URLPattern) else addresses(pattern.url_patterns, address)
    return found


def plain(route: str) -> str:
    """Without types, and without regular expressions."""
    route = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"<\1>", route)
    return re.sub(r"<\w+:(\w+)>", r"<\1>", route).replace("^", "").replace("$", "")

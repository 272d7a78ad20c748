"""Parts of an HTML report: page with style sheet, tables, figures, images, escaping."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --paper: #fff; --soft: #5b6675; --line: #d9dee5;
  --panel: #f5f7f9; --accent: #0b6e6e; --bad: #a3321f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e9ef; --paper: #12171d; --soft: #9aa7b5;
  --line: #2b343f; --panel: #1a2129; --accent: #5cc4c0; --bad: #f0907c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1.25rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .5rem; }
p { max-width: 44rem; }
.note, figcaption, small { color: var(--soft); font-size: .9rem; }
.warning { border-left: 4px solid var(--bad); padding: .4rem .8rem; background: var(--panel); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem;
  padding: 0; list-style: none; }
.tiles li { background: var(--panel); border-radius: .5rem; padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.4rem; color: var(--accent); }
figure { margin: 1rem 0; max-width: 44rem; }
figure svg { width: 100%; height: auto; color: var(--ink); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .3rem .7rem .3rem 0; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(6.2rem, 1fr)); gap: .4rem; }
.grid img, .pair img { width: 100%; height: 7rem; object-fit: contain; background: #000; border-radius: .25rem; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .9rem; }
.pair div { display: grid; grid-template-columns: 1fr 1fr; gap: .25rem; }
.pair small { display: block; overflow-wrap: anywhere; }
details { margin: .6rem 0; } summary { cursor: pointer; }
code { overflow-wrap: anywhere; }
"""


def escape(value: object) -> str:
    """Returns a value as text that is safe in HTML."""
    return html.escape(str(value))


def page(title: str, parts: Iterable[str]) -> str:
    """Returns an HTML document; title is plain text, parts are HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def tiles(figures: Iterable[tuple[object, str]]) -> str:
    """Returns a row of large figures; each is a value and its label."""
    cells = (f"<li><b>{escape(value)}</b> {escape(label)}</li>" for value, label in figures)
    return f'<ul class="tiles">{"".join(cells)}</ul>'


def table(header: Sequence[str], rows: Iterable[Sequence[object]], texts: int = 1) -> str:
    """Returns a table whose first `texts` columns are text and whose others are numbers."""

    def row(cells: Sequence[object], tag: str) -> str:
        kinds = ("" if place < texts else ' class="number"' for place in range(len(cells)))
        return "".join(
            f"<{tag}{kind}>{escape(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)
        )

    body = "".join(f"<tr>{row(cells, 'td')}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{row(header, "th")}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def figure(svg: str, caption: str) -> str:
    """Returns an inline SVG with its caption, which is also its accessible name."""
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def picture(jpeg: bytes, alt: str) -> str:
    """Returns an img element with an embedded JPEG."""
    return f'<img alt="{escape(alt)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'


def listing(summary: str, lines: Sequence[str]) -> str:
    """Returns a list that is closed at first; the lines are plain text."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<details><summary>{escape(summary)}</summary><ul>{items}</ul></details>"


def percent(share: float) -> str:
    """Returns a share as text: 0.1234 -> "12 %"."""
    return f"{100 * share:.0f} %"

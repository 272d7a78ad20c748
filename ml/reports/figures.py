"""Figures as inline SVG in the text colour of the page, for light and dark mode."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from numpy.typing import NDArray

# Used by nothing else, so that it can be replaced by currentColor in the SVG.
INK = "#010203"
BLUE, ORANGE, GREEN, GREY = "#3b82c4", "#d97a2b", "#4a9b6e", "#8a97a5"
SPLIT_COLOURS = {"train": BLUE, "validation": ORANGE, "test": GREEN}
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    # Without it, ids in the SVG are random, and two runs of one report differ.
    "svg.hashsalt": "callus",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.frameon": False,
}


def draw(paint: Callable[[Any], None], height: float = 3.2, width: float = 5.2) -> str:
    """Returns an SVG of one pair of axes.

    Args:
        paint: draws on the axes.
        height, width: in inches.
    """
    with matplotlib.rc_context(STYLE):
        canvas = Figure(figsize=(width, height), layout="constrained")
        paint(canvas.add_subplot())
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # A fixed size in points would not shrink with the page.
    return re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    )


def stacked_bars(names: Sequence[str], segments: dict[str, Sequence[float]], label: str) -> str:
    """Returns an SVG of horizontal stacked bars.

    Args:
        names: one for each bar.
        segments: the values of each segment by its name, one for each bar.
        label: of the x axis.
    """

    def paint(axes: Any) -> None:
        left = np.zeros(len(names))
        for segment, values in segments.items():
            axes.barh(names, values, left=left, label=segment, color=SPLIT_COLOURS.get(segment, GREY))
            left += np.asarray(values, dtype=float)
        for place, total in enumerate(left):
            axes.text(total, place, f" {total:.0f}", va="center")
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.margins(x=0.12)
        if len(segments) > 1:
            axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=len(segments))

    return draw(paint, height=1.2 + 0.3 * len(names))


def histogram(values: Sequence[float], label: str, bins: Any = 30, log: bool = False) -> str:
    """Returns an SVG histogram of a value of each image; label is that of the x axis."""

    def paint(axes: Any) -> None:
        axes.hist(values, bins=bins, color=BLUE)
        axes.set_xlabel(label)
        axes.set_ylabel("images")
        if log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.set_xticks(
                [value for value in (0.1, 0.2, 0.5, 1, 2, 5, 10) if min(bins) <= value <= max(bins)]
            )
            axes.xaxis.set_minor_locator(NullLocator())

    return draw(paint)


def scatter(x: Sequence[float], y: Sequence[float], labels: tuple[str, str]) -> str:
    """Returns an SVG scatter plot with one dot for each image; labels are those of x and y."""

    def paint(axes: Any) -> None:
        axes.scatter(x, y, s=9, alpha=0.35, color=BLUE, linewidths=0, rasterized=len(x) > 3000)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)

    return draw(paint, height=3.8)


def lines(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    labels: tuple[str, str],
    y_range: tuple[float, float] | None = None,
) -> str:
    """Returns an SVG of curves.

    Args:
        curves: x and y values by name.
        labels: of the x and the y axis.
        y_range: limits of the y axis.
    """

    def paint(axes: Any) -> None:
        for (name, (x, y)), colour in zip(curves.items(), (BLUE, ORANGE, GREEN, GREY), strict=False):
            axes.plot(x, y, label=name, color=colour, marker="o" if len(x) <= 30 else None, markersize=3)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])
        if y_range:
            axes.set_ylim(*y_range)
        if len(curves) > 1:
            axes.legend()

    return draw(paint)


def matrix(counts: NDArray[np.int64], names: Sequence[str]) -> str:
    """Returns an SVG of a confusion matrix, shaded by the share of each row.

    Args:
        counts: (classes, classes) int; rows are true classes, columns predicted ones.
        names: of the classes.
    """

    def paint(axes: Any) -> None:
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(shares, cmap="GnBu", vmin=0, vmax=1, alpha=0.9)
        axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), names)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.spines[:].set_visible(False)
        for row, column in np.ndindex(*counts.shape):
            if counts[row, column]:
                colour = "#ffffff" if shares[row, column] > 0.6 else "#16202b"
                axes.text(
                    column, row, counts[row, column], ha="center", va="center", color=colour, fontsize=9
                )

    return draw(paint, height=max(3.4, 2.2 + 0.36 * len(names)))


def bars_with_intervals(
    names: Sequence[str], values: Sequence[tuple[float, float, float]], label: str
) -> str:
    """Returns an SVG with a dot and its interval for each name.

    Args:
        values: value, low and high of each name.
        label: of the x axis.
    """

    def paint(axes: Any) -> None:
        for place, (value, low, high) in enumerate(values):
            axes.plot([low, high], [place, place], color=GREY, linewidth=2)
            axes.plot([value], [place], "o", color=BLUE)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlim(-0.02, 1.02)
        axes.set_xlabel(label)

    return draw(paint, height=1.0 + 0.3 * len(names))


def reliability(sides: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[int]]]) -> str:
    """Returns an SVG reliability diagram: accuracy against confidence.

    Args:
        sides: by name: confidence, accuracy and number of images of each bin that is not empty.
    """

    def paint(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
        for (name, (confidence, right, count)), colour in zip(sides.items(), (ORANGE, BLUE), strict=False):
            axes.plot(confidence, right, color=colour, linewidth=1, alpha=0.6)
            sizes = 12 + 160 * np.asarray(count) / max(1, max(count))
            axes.scatter(confidence, right, s=sizes, label=name, color=colour, alpha=0.8, linewidths=0)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_aspect("equal")
        axes.set_xlabel("confidence")
        axes.set_ylabel("accuracy")
        axes.legend(loc="upper left")

    return draw(paint, height=4.2)

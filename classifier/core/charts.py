"""Computes the geometry of charts, which a template draws as SVG without scripts or inline styles."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

Point = tuple[float, float]
WIDTH, HEIGHT = 520, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 10, 10, 42
MAX_DOTS = 40


@dataclass(frozen=True)
class Series:
    """One curve of a chart.

    Attributes:
        name: label in the legend.
        points: (x, y) pairs in ascending order of x.
        style: suffix of the CSS class in callus.css.
        is_quiet: draws the curve thin and without a legend entry.
    """

    name: str
    points: Sequence[Point]
    style: str
    is_quiet: bool = False


@dataclass(frozen=True)
class Tick:
    """A labeled position on an axis, in SVG units."""

    position: float
    label: str


@dataclass(frozen=True)
class Line:
    """A series with its SVG polyline and the dots to draw on it."""

    series: Series
    path: str
    dots: list[Point]


@dataclass(frozen=True)
class Chart:
    """A chart with all positions in SVG units."""

    title: str
    x_label: str
    lines: list[Line]
    x_ticks: list[Tick]
    y_ticks: list[Tick]
    has_diagonal: bool = False
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM
    middle: float = field(default=(LEFT + WIDTH - RIGHT) / 2)

    @property
    def legend(self) -> list[Line]:
        """Lists the lines that have a legend entry."""
        return [line for line in self.lines if not line.series.is_quiet]

    @property
    def description(self) -> str:
        """Returns the chart as a sentence for screen readers."""
        ranges = [
            f"{line.series.name} from {line.series.points[0][1]:.3f} to {line.series.points[-1][1]:.3f}"
            for line in self.legend
            if line.series.points
        ]
        return f"{self.title}: {'; '.join(ranges)}" if ranges else self.title


def curves(title: str, x_label: str, series: Iterable[Series], y_range: Point | None = None) -> Chart:
    """Returns a chart of curves over integers from 1, such as epochs. `y_range` defaults to the range of the data."""
    series = [each for each in series if each.points]
    last = max((x for each in series for x, _ in each.points), default=1)
    values = [y for each in series for _, y in each.points]
    y_values = nice_ticks(*(y_range or (min(values, default=0.0), max(values, default=1.0))))
    return _chart(
        title, x_label, series, (1, max(last, 2)), (y_values[0], y_values[-1]), _whole_ticks(last), y_values
    )


def reliability(title: str, x_label: str, series: Iterable[Series]) -> Chart:
    """Returns a reliability diagram: accuracy over confidence, both from 0 to 1, with a diagonal."""
    fifths = [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    return _chart(title, x_label, list(series), (0, 1), (0, 1), fifths, fifths, has_diagonal=True)


def nice_ticks(lowest: float, highest: float) -> list[float]:
    """Returns about five round numbers that cover the range from `lowest` to `highest`."""
    raw = max(highest - lowest, abs(highest) / 100, 1e-6) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
    first, last = math.floor(lowest / step + 1e-9), math.ceil(highest / step - 1e-9)
    return [round(step * number, 10) for number in range(first, max(last, first + 1) + 1)]


def _whole_ticks(last: float) -> list[float]:
    step = max(1, math.ceil(last / 8))
    return [float(number) for number in range(1, max(int(last), 2) + 1) if number == 1 or number % step == 0]


def _chart(
    title: str,
    x_label: str,
    series: list[Series],
    x_range: Point,
    y_range: Point,
    x_values: list[float],
    y_values: list[float],
    *,
    has_diagonal: bool = False,
) -> Chart:
    def x_of(value: float) -> float:
        share = (value - x_range[0]) / (x_range[1] - x_range[0])
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y_of(value: float) -> float:
        share = min(max((value - y_range[0]) / (y_range[1] - y_range[0]), 0), 1)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    lines = []
    for each in series:
        places = [(x_of(x), y_of(y)) for x, y in each.points]
        dots = places if len(places) <= MAX_DOTS and not each.is_quiet else places[-1:]
        lines.append(Line(each, " ".join(f"{x},{y}" for x, y in places), dots))
    return Chart(
        title=title,
        x_label=x_label,
        lines=lines,
        x_ticks=[Tick(x_of(value), f"{value:g}") for value in x_values],
        y_ticks=[Tick(y_of(value), f"{value:g}") for value in y_values],
        has_diagonal=has_diagonal,
    )

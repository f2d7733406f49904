"""Geometry of the charts; the template draws it.

Places are in per cent of the plot, so that a chart fills whatever width it gets and its text keeps
its size. Lines are drawn in a square of 1000 x 1000 that the browser stretches over the plot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from concord.report.page.axis import SHARE, Axis, fitted, held
from concord.report.page.text import number, percent
from concord.report.records import Histogram

_NARROWEST, _WIDEST = 0.8, 12.0
"""Limits of a bar's width, in per cent of the plot."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes:
        name: in the legend.
        hue: which colour, counted from 1; past the end of the palette the colours come again, dashed.
        points: (x, y), x ascending; a y that is not finite leaves a gap.
        band: (x, lowest, highest) around it, or nothing.
        signed: whether its values are written as correlations, whatever the axis.
    """

    name: str
    hue: int
    points: tuple[Point, ...]
    band: tuple[tuple[float, float, float], ...] = ()
    signed: bool = False


@dataclass(frozen=True)
class Tick:
    """A mark at ``place`` per cent of an axis."""

    place: float
    label: str


@dataclass(frozen=True)
class Curve:
    """A line.

    Attributes:
        name, hue: as in :class:`Line`.
        path: SVG path data, in the square of 1000 x 1000.
        band: the same of the area around it; "" without one.
        kind: how its values are written: "share", "signed" or "number".
        values: at each of the chart's ``at``; None where it has none.
    """

    name: str
    hue: int
    path: str
    band: str
    kind: str
    values: tuple[float | None, ...]


@dataclass(frozen=True)
class LineChart:
    """Curves over a common axis; ``at`` is every x that one of them has, ascending."""

    title: str
    x: Axis
    y: Axis
    x_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    at: tuple[float, ...]
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Bar:
    """One bar: its place, width and height in per cent of the plot."""

    left: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class BarChart:
    """A histogram."""

    title: str
    x_title: str
    x_ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...]


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    x_title: str,
    y: Axis | None = None,
    write_x: Callable[[float], str] = number,
) -> LineChart:
    """Curves over a common axis.

    Args:
        title: of the chart.
        lines: the curves.
        x_title: what is along the bottom.
        y: the upright axis; None fits one to the values.
        write_x: how an x is written.
    """
    at = sorted({x for line in lines for x, _ in line.points})
    across = fitted(at, tight=True)
    reach = [*(y for line in lines for _, y in line.points), *(v for line in lines for _, *b in line.band for v in b)]
    up = y or fitted(reach)
    return LineChart(
        title,
        across,
        up,
        x_title,
        tuple(Tick(across.place(tick), write_x(tick)) for tick in across.ticks),
        tuple(Tick(round(100 - up.place(tick), 2), up.label(tick)) for tick in up.ticks),
        tuple(at),
        tuple(_curve(line, at, across, up) for line in lines),
    )


def bar_chart(title: str, histogram: Histogram, *, x_title: str = "", share: bool = False) -> BarChart:
    """A histogram; a bar's height is its count relative to the highest."""
    edges, counts, width = tuple(map(held, histogram.edges)), histogram.counts, histogram.width
    gap = width or min((b - a for a, b in pairwise(edges)), default=0.1 if share else 1.0)
    # A bar of one exact value stands around it and needs room at the ends.
    pad = 0.0 if width else gap / 2
    low, high = (0.0, 1.0) if share or not edges else (edges[0], edges[-1] + width)
    axis = fitted((low - pad, high + pad), marks=3, tight=True)
    if share:
        axis = Axis(low - pad, high + pad, SHARE.ticks, share=True)
    slot = 100 * (gap / 2) / (axis.high / 2 - axis.low / 2)
    drawn = min(max(0.86 * slot, _NARROWEST), _WIDEST)
    bars = []
    for edge, count in zip(edges, counts, strict=True):
        where = axis.write(edge) + (f" to {axis.write(edge + width)}" if width else "")
        text = f"{where}\n{number(count)} ({percent(count / sum(counts))})"
        left = axis.place(edge + width / 2) - drawn / 2
        bars.append(Bar(round(left, 2), round(drawn, 2), round(100 * count / max(counts), 2), text))
    marked = edges if not width and len(edges) <= 5 and slot > 12 else axis.ticks
    return BarChart(title, x_title, tuple(Tick(axis.place(tick), axis.label(tick)) for tick in marked), tuple(bars))


def _curve(line: Line, at: Sequence[float], across: Axis, up: Axis) -> Curve:
    kind = "signed" if line.signed else "share" if up.share else "number"
    values = dict(line.points)
    path, band = _path(line.points, across, up), _band(line, across, up)
    return Curve(line.name, line.hue, path, band, kind, tuple(values.get(x) for x in at))


def _path(points: Iterable[Point], across: Axis, up: Axis) -> str:
    """Path data with a gap where there is no value; a point alone is a dot."""
    pieces, pen = [], "M"
    for x, y in points:
        if math.isfinite(y):
            pieces.append(f"{pen}{_square(x, y, across, up)}" + ("h0" if pen == "M" else ""))
        pen = "L" if math.isfinite(y) else "M"
    return "".join(pieces)


def _band(line: Line, across: Axis, up: Axis) -> str:
    """Path data of the area between the lowest and the highest."""
    known = [(x, low, high) for x, low, high in line.band if math.isfinite(low) and math.isfinite(high)]
    corners = [(x, high) for x, _, high in known] + [(x, low) for x, low, _ in reversed(known)]
    return "M" + "L".join(_square(x, y, across, up) for x, y in corners) + "z" if len(known) > 1 else ""


def _square(x: float, y: float, across: Axis, up: Axis) -> str:
    return f"{10 * across.place(x):.1f} {1000 - 10 * up.place(y):.1f}"

"""Geometry: everything lies where its value says, whatever the values are."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.report.page.axis import SHARE, Axis, fitted
from concord.report.page.charts import Line, bar_chart, line_chart
from concord.report.records import Histogram

numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(numbers, max_size=6), st.booleans())
def test_an_axis_holds_its_values(values: list[float], tight: bool) -> None:
    axis = fitted(values, tight=tight)
    assert axis.low < axis.high
    assert list(axis.ticks) == sorted(axis.ticks)
    assert all(axis.low <= tick <= axis.high for tick in axis.ticks)
    assert len(axis.ticks) <= 7
    assert all(0 <= axis.place(value) <= 100 for value in values if math.isfinite(value))


def test_places_go_with_values() -> None:
    axis = Axis(-1.0, 3.0, ())
    assert [axis.place(value) for value in (-1, 0, 1, 3, 99)] == [0, 25, 50, 100, 100]
    assert (SHARE.write(0.5), SHARE.label(0.5)) == ("50.0\u202f%", "50\u202f%")


@given(st.dictionaries(st.floats(allow_nan=False, allow_infinity=False), st.integers(1, 10**9), max_size=24))
def test_bars_of_any_exact_values(counted: dict[float, int]) -> None:
    edges = sorted(counted)
    chart = bar_chart("r", Histogram(tuple(edges), tuple(counted[edge] for edge in edges), 0.0))
    assert len(chart.bars) == len(edges)
    assert all(0 < bar.width <= 12 and -7 <= bar.left <= 101 and 0 <= bar.height <= 100 for bar in chart.bars)
    assert [bar.left for bar in chart.bars] == sorted(bar.left for bar in chart.bars)
    assert max((bar.height for bar in chart.bars), default=100) == 100


def test_bars_stand_on_their_values() -> None:
    binary = bar_chart("r", Histogram((0.0, 1.0), (1, 3), 0.0))
    assert [(round(bar.left + bar.width / 2), bar.height) for bar in binary.bars] == [(25, 33.33), (75, 100.0)]
    assert [(tick.place, tick.label) for tick in binary.x_ticks] == [(25.0, "0"), (75.0, "1")]
    assert binary.bars[0].text == "0\n1 (25.0\u202f%)"
    ranges = bar_chart("r", Histogram((0.0, 0.25, 0.75), (2, 4, 1), 0.25))
    assert [round(bar.left + bar.width / 2, 1) for bar in ranges.bars] == [12.5, 37.5, 87.5]
    assert ranges.bars[1].text == "0.25 to 0.5\n4 (57.1\u202f%)"


def test_shares_are_drawn_on_the_whole_of_the_axis() -> None:
    for histogram in (Histogram((0.5,), (4,), 0.0), Histogram((0.5,), (4,), 0.125)):
        chart = bar_chart("kept", histogram, share=True)
        assert [tick.label for tick in chart.x_ticks] == [f"{n}\u202f%" for n in (0, 25, 50, 75, 100)]
    assert bar_chart("kept", Histogram((0.0, 1.0), (1, 1), 0.0), share=True).bars[0].left >= 0


def points(path: str) -> list[tuple[str, float, float]]:
    found = re.findall(r"([ML])([\d.]+) ([\d.]+)(?:h0)?", path)
    assert "".join(re.findall(r"[ML][\d.]+ [\d.]+(?:h0)?", path)) == path
    return [(pen, float(x), float(y)) for pen, x, y in found]


def test_a_curve_goes_through_its_points_and_stops_at_gaps() -> None:
    line = Line("r", 1, ((0, 0.0), (1, 1.0), (2, math.nan), (3, 0.5), (4, math.inf)))
    chart = line_chart("c", [line], x_title="step", y=SHARE)
    assert points(chart.curves[0].path) == [("M", 0, 1000), ("L", 250, 0), ("M", 750, 500)]
    assert chart.at == (0, 1, 2, 3, 4)
    assert chart.curves[0].values[:2] == (0.0, 1.0)


def test_lines_of_different_steps_share_one_axis() -> None:
    lines = [Line("a", 1, ((0, 1.0), (10, 2.0))), Line("b", 2, ((5, 3.0),), band=((5, 2.5, 4.0),))]
    chart = line_chart("c", lines, x_title="step")
    assert chart.at == (0, 5, 10)
    assert [curve.values for curve in chart.curves] == [(1.0, None, 2.0), (None, 3.0, None)]
    assert chart.y.high >= 4.0
    assert points(chart.curves[1].path)[0][1] == 500


def test_a_band_needs_two_points() -> None:
    band = ((0.0, 0.0, 0.5), (1.0, 0.5, 1.0))
    drawn = line_chart("c", [Line("a", 1, ((0, 0.2), (1, 0.8)), band)], x_title="step", y=SHARE).curves[0].band
    assert drawn == "M0.0 500.0L1000.0 0.0L1000.0 500.0L0.0 1000.0z"
    alone = line_chart("c", [Line("a", 1, ((0, 0.2),), band[:1])], x_title="step", y=SHARE)
    assert alone.curves[0].band == ""


@pytest.mark.parametrize("values", [(), ((0, math.nan),), ((0, math.nan), (1, math.nan))])
def test_nothing_measured_draws_nothing(values: tuple[tuple[float, float], ...]) -> None:
    assert line_chart("c", [Line("a", 1, values)], x_title="step").curves[0].path == ""

"""Histograms of a stream."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.report.analysis import Histogram
from concord.report.bars import EXACT, SPAN, Bars

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


def histogram(*parts: list[float]) -> Histogram:
    bars = Bars()
    for part in parts:
        bars.add(torch.tensor(part, dtype=torch.float64))
    return bars.histogram()


def test_few_values_have_a_bar_each() -> None:
    assert histogram([0.3, 0.3, 0.1], [0.1, 0.3]) == Histogram((0.1, 0.3), (2, 3), 0.0)


def test_many_values_share_bars_of_one_width() -> None:
    found = histogram([i / 100 for i in range(100)])
    assert found.width == 1 / 32
    assert found.counts[0] == 4  # 0.00 to 0.03
    assert sum(found.counts) == 100


def test_nothing_has_no_bars() -> None:
    assert histogram([], [float("nan")]) == Histogram((), (), 0.0)


@given(st.lists(FLOATS, max_size=80), st.integers(0, 80))
def test_every_value_is_counted_once_in_its_bar_whatever_the_order(values: list[float], cut: int) -> None:
    found = histogram(values)
    assert histogram(values[cut:][::-1], values[:cut]) == found
    known = [value for value in values if value - value == 0]
    assert sum(found.counts) == len(known)
    assert len(found.edges) <= max(EXACT, SPAN)
    assert all(a < b for a, b in itertools.pairwise(found.edges))
    for edge, count in zip(found.edges, found.counts, strict=True):
        inside = [v for v in known if (edge <= v < edge + found.width if found.width else v == edge)]
        assert len(inside) == count


def test_the_lowest_bar_begins_at_a_number() -> None:
    values = [*map(float, range(23)), 9.550244778956053e307, -1.6853373139334214e308]
    found = histogram(values)
    assert found.counts == (1, 23, 1)
    assert found.edges[0] <= min(values) < found.edges[0] + found.width


def test_a_growing_range_merges_neighbours() -> None:
    fine = [i / 1000 for i in range(50)]
    assert histogram(fine, [1000.0]) == histogram([1000.0], fine)
    assert histogram(fine, [1000.0]).counts == pytest.approx((50, 1))


@pytest.mark.parametrize(
    ("values", "bars", "width"),
    [(24, 24, 0.0), (25, 25, 1.0), (48, 48, 1.0), (49, 25, 2.0), (96, 48, 2.0), (97, 25, 4.0)],
)
@pytest.mark.parametrize("low", [0, -24])
def test_a_bar_each_up_to_twenty_four_values_then_at_most_forty_eight_of_one_width(
    values: int, bars: int, width: float, low: int
) -> None:
    found = histogram([float(low + value) for value in range(values)])
    assert (len(found.edges), found.width) == (bars, width)
    assert sum(found.counts) == values

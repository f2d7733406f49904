"""Quantiles of ragged columns against Python's sort and torch.quantile."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.functional.quantiles import linear_quantile, upper_quantile


@given(x=st.lists(st.floats(-5, 5), min_size=1, max_size=9), absent=st.integers(0, 4), level=st.floats(0, 1))
def test_both_quantiles_of_a_column_with_absent_values(x: list[float], absent: int, level: float) -> None:
    column = torch.tensor([math.nan] * absent + x, dtype=torch.float64)[:, None]
    where = torch.arange(len(column))[:, None] >= absent
    want = torch.tensor(x, dtype=torch.float64).quantile(level)
    torch.testing.assert_close(linear_quantile(column, where, level), want[None])
    upper = upper_quantile(column, where, level).item()
    # A quantile in the strict sense: no more than the level below it, no more than the rest above.
    assert upper in x
    assert sum(v < upper for v in x) <= level * len(x) + 1e-6
    assert sum(v > upper for v in x) <= (1 - level) * len(x) + 1e-6


@pytest.mark.parametrize(("count", "level"), [(10, 0.3), (30, 0.1), (49, 1 / 49), (1000, 0.7), (7, 3 / 7)])
def test_a_whole_number_of_values_stands_before_the_upper_quantile(count: int, level: float) -> None:
    """0.7 of 1000 is 700, whatever the last bit of the product."""
    x = torch.arange(count, dtype=torch.float32)
    assert upper_quantile(x, torch.ones(count, dtype=torch.bool), level) == round(level * count)


def test_nothing_has_no_quantile() -> None:
    x, where = torch.zeros(3, 2), torch.zeros(3, 2, dtype=torch.bool)
    assert linear_quantile(x, where, 0.5).isnan().all()
    assert upper_quantile(x, where, 0.5).isnan().all()

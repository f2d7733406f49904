"""The statistics against numbers worked out by hand, and against slow twins."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.bench import statistics as s

SMALL = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=8)


def slow_sign_flip(d: list[float]) -> float:
    patterns = list(itertools.product([1, -1], repeat=len(d)))
    return sum(abs(sum(a * b for a, b in zip(signs, d, strict=True))) >= abs(sum(d)) for signs in patterns) / len(
        patterns
    )


@settings(deadline=None)
@given(SMALL)
def test_sign_flip_counts_the_patterns(d: list[float]) -> None:
    assert s.sign_flip(d) == slow_sign_flip(d)


def test_sign_flip_by_hand() -> None:
    """Of the eight sums of +-1 +-2 +-4, only 7 and -7 are as far out; with 3 for 4 also... 6 and -6 alone again."""
    assert s.sign_flip([1, 2, 4]) == 2 / 8
    assert s.sign_flip([1, 2, -3]) == 1.0
    assert s.sign_flip([0.1] * 5) == 2 / 32
    assert math.isnan(s.sign_flip([]))


def test_rounding_does_not_make_a_tie_a_difference() -> None:
    """0.1 + 0.2 - 0.3 is not 0 in floating point, and the order of adding changes the last digit."""
    d = [0.1, 0.2, 0.3, 0.7, 0.6, 0.5]
    assert s.sign_flip(d) == s.sign_flip(d[::-1]) == 2 / 64


def test_many_pairs_are_sampled() -> None:
    assert s.sign_flip([1.0] * 25) < 1e-5
    rng = np.random.default_rng(0)
    d = list(rng.normal(0.3, 1.0, 24))
    # The normal approximation to the same statistic.
    z = abs(sum(d)) / math.sqrt(sum(x * x for x in d))
    assert s.sign_flip(d) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.02)


def test_equivalence_is_two_one_sided_tests() -> None:
    """All five differences are inside by 0.01 or more; of 32 patterns only the observed one is as extreme."""
    assert s.equivalent([0.0, 0.001, -0.001, 0.002, 0.0], 0.01) == 1 / 32
    assert s.equivalent([0.02] * 5, 0.01) == 1.0  # outside
    assert s.equivalent([0.5, -0.5] * 3, 0.01) > 0.3  # a mean of 0 that nobody can rely on
    assert math.isnan(s.equivalent([], 0.01))
    with pytest.raises(ValueError, match="margin is positive"):
        s.equivalent([0.0], 0.0)


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2, and 0.9 x 1; never below the one before."""
    assert s.holm([0.03, 0.9, 0.01, 0.02]) == pytest.approx([0.06, 0.9, 0.04, 0.06])
    adjusted = s.holm([0.02, math.nan, 0.03])
    assert adjusted[::2] == pytest.approx([0.04, 0.04])
    assert math.isnan(adjusted[1])
    assert s.holm([]) == []


def test_iqm_and_probability_of_improvement_as_rliable_has_them() -> None:
    assert s.iqm([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 50.0]) == 4.5  # without 1, 2 and 50, 100
    assert s.iqm([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 9.0]) == pytest.approx(23 / 5)  # a quarter of seven is one
    assert s.iqm([9.0, 1.0, 2.0]) == 4.0
    assert s.iqm([5.0]) == 5.0
    assert s.probability_of_improvement([3, 4], [1, 2]) == 1.0
    assert s.probability_of_improvement([1, 1], [1, 1]) == 0.5
    assert s.probability_of_improvement([1, 2, 3], [2, 2]) == (0.5 + 0.5 + 1 + 1) / 6


def test_bootstrap_intervals_are_those_of_the_mean() -> None:
    values = list(np.random.default_rng(1).normal(5, 2, 200))
    low, high = s.bootstrap(values)
    error = 1.96 * float(np.std(values)) / math.sqrt(200)
    assert low == pytest.approx(np.mean(values) - error, abs=0.05)
    assert high == pytest.approx(np.mean(values) + error, abs=0.05)
    assert s.bootstrap(values) == (low, high)  # the same each time
    assert all(math.isnan(end) for end in s.bootstrap([1.0]))
    curves = np.array([[0.0, 1.0], [0.0, 3.0]])
    assert s.bootstrap_curve(curves) == [(0.0, 0.0), (1.0, 3.0)]


@pytest.mark.parametrize(("level", "ends"), [(0.4, (0.5, 0.5)), (0.6, (0.0, 1.0)), (0.95, (0.0, 1.0))])
def test_the_level_is_what_the_interval_holds(level: float, ends: tuple[float, float]) -> None:
    """The means of two values drawn twice are 0, 1/2 and 1, with a quarter, a half and a quarter of the chance."""
    assert s.bootstrap([0.0, 1.0], level=level) == ends


def test_the_interval_leaves_one_in_twenty_out_unless_told_otherwise() -> None:
    """Of six values with one 1: (5/6)^6 = 0.335 of the means are 0, 0.402 are 1/6, and 0.991 are at most a half."""
    values = [0.0] * 5 + [1.0]
    assert s.bootstrap(values) == s.bootstrap(values, level=0.95) == (0.0, 0.5)
    assert s.bootstrap(values, level=0.3) == (pytest.approx(1 / 6), pytest.approx(1 / 6))
    assert s.bootstrap(values, level=0.99)[1] == pytest.approx(4 / 6)


def test_all_signs_are_tried_up_to_twenty_pairs() -> None:
    """The exact p of n ones is 2 / 2^n; sampled, it is a count over 2^20 + 1."""
    assert s.sign_flip([1.0] * 20) == 2 / 2**20
    hits = s.sign_flip([1.0] * 21) * (2**20 + 1)
    assert hits == pytest.approx(round(hits), abs=1e-9)


def test_steps_to_a_target_needs_three_steps_in_a_row_on_average() -> None:
    assert s.steps_to([0, 0, 3, 0, 0], 1.0) == 3
    assert s.steps_to([0.0, 0.5, 1.0], 0.5) == 3
    assert s.steps_to([1.0, 1.0], 0.5) is None
    assert s.steps_to([0.0] * 9, 0.5) is None


def test_a_curve_over_compute() -> None:
    values, spent = [0.0, 0.5, 1.0], [10.0, 0.0, 10.0]
    assert s.at_budget(values, spent, 20.0) == 0.5
    assert s.at_budget(values, spent, 10.0) == 0.0
    assert s.at_budget(values, spent, 40.0) == 0.75  # the last value holds
    assert s.at_budget(values, [0.0, 0.0, 0.0], 0.0) == 0.0

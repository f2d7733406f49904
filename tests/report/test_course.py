"""How a reward changes over a run: means, errors and steps that were worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from concord.report.course import saturated_since, trend
from concord.report.series import Entry

BEND = [2.0, -1.0, -2.0, -1.0, 2.0]
"""Five residuals that no line takes away: their squares add up to 14, over 5 - 2 degrees of freedom."""


def test_the_error_is_that_of_two_means_about_their_own_lines() -> None:
    first = [10 + 3 * i + bend for i, bend in enumerate(BEND)]
    last = [20 - i + 2 * bend for i, bend in enumerate(BEND)]
    found = trend(first + [99.0] * 5 + last)
    assert found is not None
    assert (found.first, found.last, found.steps) == (16.0, 18.0, 5)
    assert found.change == 2.0
    assert found.error == pytest.approx(math.sqrt((14 / 3 + 4 * 14 / 3) / 5))


@pytest.mark.parametrize("slope", [0.0, 7.0])
def test_a_steady_climb_is_not_uncertain(slope: float) -> None:
    found = trend([slope * i for i in range(15)])
    assert found is not None
    assert found.change == 10 * slope
    assert found.error == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("steps", "third"), [(14, None), (15, 5), (17, 5), (18, 6)])
def test_a_third_of_the_steps_that_have_a_mean(steps: int, third: int | None) -> None:
    found = trend([math.nan, *[1.0] * steps, math.inf])
    assert (found and found.steps) == third


def course(*shares: float, groups: float = 100.0) -> list[Entry]:
    """The steps 10, 11, ... with these shares of dead groups; a NaN is a step in which nothing was compared."""
    entries = []
    for step, share in enumerate(shares, 10):
        compared = 0.0 if math.isnan(share) else groups
        dead = torch.tensor([0.0 if math.isnan(share) else share * compared])
        sums = SimpleNamespace(dead=dead, std=SimpleNamespace(count=torch.tensor([compared])))
        entries.append((step, step, sums))
    return entries  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("shares", "since"),
    [
        ([0.7] * 5 + [0.9] * 5, 15),
        ([0.71] * 5 + [0.9] * 5, None),
        ([0.7] * 5 + [0.89] * 5, None),
        ([0.0] * 4 + [1.0] * 5, None),  # each part needs five points
        ([0.0] * 5 + [1.0] * 4, None),
        ([0.0] * 5 + [math.nan] * 3 + [1.0] * 5, 18),  # steps without a group do not count
        ([0.0] * 20 + [1.0] * 7, 30),
        ([1.0] * 5 + [0.0] * 5, None),  # it came to life
        ([1.0] * 12, None),
        ([1.0] * 5 + [0.0] * 5 + [0.9] * 5, None),  # it came to life more than it died
        ([0.0] * 5 + [0.3] * 5 + [1.0] * 5, 20),  # the larger of two rises
        ([0.0] * 5 + [1.0] * 54, 15),  # of 59 points, a part has five
        ([0.0] * 5 + [1.0] * 55, 16),  # of 60, six: a tenth
    ],
)
def test_saturated_since(shares: list[float], since: int | None) -> None:
    assert saturated_since(course(*shares), 0) == since


def test_groups_count_alike_whichever_step_they_are_in() -> None:
    """Ninety of a hundred groups are dead after, though nine of its ten steps hold few and are lively."""
    before, after = course(*[0.0] * 5), course(*[1.0] * 9, 0.0, groups=10.0)
    for place, (_, _, sums) in enumerate(after):
        sums.dead[0], sums.std.count[0] = (90.0, 91.0) if place == 0 else (0.0, 1.0)
    moved = [(step + 5, step + 5, sums) for step, _, sums in after]
    assert saturated_since(before + moved, 0) == 15
    after[0][2].dead[0] = 89.0
    assert saturated_since(before + moved, 0) is None

"""What a rule is, and when a number is more than chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from concord.report.analysis import Analysis, Estimate, Severity

FEWEST_GROUPS = 8
"""Below this many groups nothing is said about what holds in general."""


@dataclass(frozen=True)
class Hit:
    """What a rule found."""

    severity: Severity
    message: str
    rewards: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """One thing to look for.

    Attributes:
        name: in snake case; a finding carries it.
        threshold: when it speaks, in words, for the reader to judge.
        find: looks, and yields what it found.
    """

    name: str
    threshold: str
    find: Callable[[Analysis], Iterator[Hit]]


def beyond_chance(value: float, error: float, count: int) -> bool:
    """Whether a mean of ``count`` independent values is too far from 0 to be chance.

        |value| > 4 (1 + 4 / (count - 1)) error

    Four standard errors, and more where the error itself is a guess from few values: chance does so
    less than once in two thousand times.

    Example:
        >>> beyond_chance(0.5, 0.1, 100), beyond_chance(0.5, 0.1, 10), beyond_chance(0.5, math.nan, 1)
        (True, False, False)
    """
    return count > 1 and math.isfinite(error) and abs(value) > 4 * (1 + 4 / (count - 1)) * error


def holds(estimate: Estimate) -> bool:
    """Whether there are groups enough, and the estimate is beyond chance."""
    return estimate.groups >= FEWEST_GROUPS and beyond_chance(estimate.value, estimate.error, estimate.groups)


def percent(share: float) -> str:
    """
    Example:
        >>> percent(0.634), percent(0.004), percent(0.0), percent(0.998)
        ('63 %', '0.4 %', '0 %', '99.8 %')
    """
    fine = 0 < share < 0.01 or 0.99 < share < 1
    return f"{100 * share:.1f} %" if fine else f"{100 * share:.0f} %"

"""What several seeds say: intervals, tests and effect sizes for paired runs.

Every test is paired: entry i of both sides has the same checkpoint, prompts and random numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RESAMPLES = 2_000
EXACT_UP_TO = 20
"""So many pairs are tested over all 2^n signs; more, over as many random ones as 2^20."""
_TIE = 1e-12


class Interval(NamedTuple):
    """From the lower to the upper end."""

    low: float
    high: float


def bootstrap(values: Sequence[float], *, level: float = 0.95, seed: int = 0) -> Interval:
    """The percentile interval of the mean, over 2000 resamplings of the seeds; NaN below two values.

    Example:
        >>> bootstrap([1.0, 1.0, 1.0])
        Interval(low=1.0, high=1.0)
    """
    return bootstrap_curve(np.asarray(values, dtype=float)[:, None], level=level, seed=seed)[0]


def bootstrap_curve(curves: Array, *, level: float = 0.95, seed: int = 0) -> list[Interval]:
    """The same at every step, curves ``[seeds, steps]`` resampled whole: one interval a step."""
    n, steps = curves.shape
    if n < 2:
        return [Interval(math.nan, math.nan)] * steps
    counts = np.random.default_rng(seed).multinomial(n, [1 / n] * n, RESAMPLES)
    means = counts @ curves / n
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def iqm(values: Sequence[float]) -> float:
    """The interquartile mean: the mean without the lowest and the highest quarter, each rounded down.

    Source: Agarwal et al. 2021, arXiv:2108.13264, as in rliable (``scipy.stats.trim_mean`` with 0.25).

    Example:
        >>> iqm([0.0, 1.0, 3.0, 100.0]), iqm([0.0, 1.0, 5.0])
        (2.0, 2.0)
    """
    cut = len(values) // 4
    return float(np.mean(sorted(values)[cut : len(values) - cut]))


def probability_of_improvement(x: Sequence[float], y: Sequence[float]) -> float:
    """How likely a run of x is above one of y, whatever their seeds; a tie counts half.

        mean over i, j of [x_i > y_j] + [x_i = y_j] / 2

    Source: Agarwal et al. 2021, arXiv:2108.13264: the Mann-Whitney statistic over its maximum. Not paired.

    Example:
        >>> probability_of_improvement([1, 2], [0, 2])
        0.625
    """
    a, b = np.asarray(x)[:, None], np.asarray(y)[None, :]
    return float(np.mean((a > b) + 0.5 * (a == b)))


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """The two-sided p that paired differences have this large a mean if each could as well have the other sign.

        p = share of the 2^n sign patterns s with |sum s_i d_i| >= |sum d_i|

    Exact up to 20 pairs; above, over 2^20 random patterns, the observed one among them. It cannot go below
    2 / 2^n: with five seeds, 0.0625. NaN without differences.

    Example:
        >>> sign_flip([1.0, 1.0, 1.0]), sign_flip([0.0, 0.0])
        (0.25, 1.0)
    """
    d = np.asarray(differences, dtype=float)
    return math.nan if not len(d) else _share(d, lambda sums: np.abs(sums) >= abs(d.sum()) - _tie(d), seed)


def equivalent(differences: Sequence[float], margin: float, *, seed: int = 0) -> float:
    """TOST: the p of the null hypothesis that the mean difference is outside (-margin, margin).

    The larger p of two one-sided exact sign-flip tests, that the mean is above -margin and that it is below margin. A
    small one says that the two are the same for practical purposes; a large ``sign_flip`` alone says no such thing.

    Source: Schuirmann 1987, with the permutation test in place of t.

    Raises: ValueError unless margin > 0.

    Example:
        >>> equivalent([0.0, 0.0, 0.0], 0.1)
        0.125
    """
    if not margin > 0:
        raise ValueError(f"an equivalence margin is positive, got {margin}")
    d = np.asarray(differences, dtype=float)
    return math.nan if not len(d) else max(_above(d + margin, seed), _above(margin - d, seed))


def holm(p: Sequence[float]) -> list[float]:
    """p adjusted for their number by Holm's step-down: what is below alpha keeps the chance of any false alarm there.

    NaN stays NaN and is not counted.

    Example:
        >>> [round(p, 6) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order = sorted((i for i in range(len(p)) if not math.isnan(p[i])), key=lambda i: p[i])
    adjusted, highest = [math.nan] * len(p), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - rank) * p[i]))
        adjusted[i] = highest
    return adjusted


def steps_to(curve: Sequence[float], target: float, *, window: int = 3) -> int | None:
    """The first step, counted from 1, at which the mean over the last three reaches the target; None = never.

    Example:
        >>> steps_to([0.0, 1.0, 1.0, 1.0], 0.9), steps_to([0.0, 1.0], 0.9)
        (4, None)
    """
    for end in range(window, len(curve) + 1):
        if sum(curve[end - window : end]) / window >= target:
            return end
    return None


def at_budget(values: Sequence[float], spent: Sequence[float], budget: float) -> float:
    """The mean of a curve over update compute, from 0 up to a budget: what was reached while it was spent.

    Args:
        values: at each step, before the update.
        spent: by that step's update; at least ``budget`` in all, or the last value holds for the rest.
        budget: in the same unit.

    Without anything spent, or with no budget, it is the first value.

    Example:
        >>> at_budget([0.0, 1.0], [10.0, 10.0], 15.0)  # 0 for ten, 1 for five
        0.3333333333333333
    """
    left, total = budget, 0.0
    for value, cost in zip(values, spent, strict=True):
        part = min(cost, left)
        total, left = total + part * value, left - part
    return (total + left * values[-1]) / budget if budget > 0 else values[0]


def _above(d: Array, seed: int) -> float:
    """One-sided p that the mean is not above 0."""
    return _share(d, lambda sums: sums >= d.sum() - _tie(d), seed)


def _tie(d: Array) -> float:
    """Sums of the same numbers in another order differ by rounding."""
    return _TIE * float(np.abs(d).sum() + 1e-300)


def _share(d: Array, extreme: Callable[[Array], NDArray[np.bool_]], seed: int) -> float:
    """Of the sign patterns, the share whose sum is extreme."""
    if len(d) <= EXACT_UP_TO:
        sums = np.zeros(1)
        for value in d:
            sums = np.concatenate([sums + value, sums - value])
        return float(np.mean(extreme(sums)))
    rng = np.random.default_rng(seed)
    hits, count, block = 1, 1 << EXACT_UP_TO, 1 << 14
    for _ in range(count // block):
        hits += int(np.sum(extreme(rng.choice([-1.0, 1.0], (block, len(d))) @ d)))
    return hits / (count + 1)

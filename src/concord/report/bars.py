"""A histogram whose range need not be known beforehand."""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

import numpy as np
from torch import Tensor

from concord.report.analysis import Histogram

EXACT = 24
"""Up to so many distinct values, each has its own bar."""

SPAN = 48
"""Beyond, the bars between the lowest and the highest value are at most this many."""


class Bars:
    """Counts of values seen so far, in bounded memory, the same in whatever order they come.

    Bars are ``[i * width, (i + 1) * width)`` with a width that is a power of two: the smallest one
    whose bars are at most ``SPAN``. When the range grows, neighbouring bars merge and no count is lost.

    Example:
        >>> import torch
        >>> bars = Bars()
        >>> bars.add(torch.tensor([0.0, 1.0, 1.0]))
        >>> bars.histogram()
        Histogram(edges=(0.0, 1.0), counts=(1, 2), width=0.0)
    """

    def __init__(self) -> None:
        self._counts: Counter[float] = Counter()
        self._width = 0.0
        self._low, self._high = math.inf, -math.inf

    def add(self, values: Tensor) -> None:
        """Count the finite ones among values of any shape."""
        known = values[values.isfinite()].double().numpy()
        if not len(known):
            return
        self._low, self._high = min(self._low, float(known.min())), max(self._high, float(known.max()))
        keys, counts = np.unique(known, return_counts=True)
        if self._width or len(self._counts.keys() | set(keys.tolist())) > EXACT:
            self._widen()
            keys, counts = np.unique(_bar(known, self._width), return_counts=True)
        self._counts.update(dict(zip(keys.tolist(), counts.tolist(), strict=True)))

    def histogram(self) -> Histogram:
        """The bars that have a count, ascending."""
        keys = sorted(self._counts)
        # The lowest bar may begin below what a float can hold.
        edges = tuple(max(k * (self._width or 1.0), -sys.float_info.max) for k in keys)
        return Histogram(edges, tuple(self._counts[k] for k in keys), self._width)

    def _widen(self) -> None:
        """Bring the bars to the width that the range asks for."""
        width = self._width or _power_of_two_below((self._high / 2 - self._low / 2) / SPAN)
        while _bar(self._high, width) - _bar(self._low, width) >= SPAN:
            width *= 2
        if width != self._width:
            merged: Counter[float] = Counter()
            for key, count in self._counts.items():
                merged[float(_bar(np.float64(key * (self._width or 1.0)), width))] += count
            self._counts, self._width = merged, width


def _bar(values: Any, width: float) -> Any:
    """The number of the bar; a quotient too small for a float keeps its sign."""
    number = np.floor(values / width)
    return np.where((values < 0) & (number == 0), -1.0, number)


def _power_of_two_below(value: float) -> float:
    return math.ldexp(0.5, max(math.frexp(value)[1], -1000))

"""A range of values laid along a side of a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from concord.report.page.text import number, percent

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LARGEST = 4e307
_SMALLEST = 1e-290
"""A range below it could not be parted into steps: floats end at 5e-324, and lose digits from 2e-308."""


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``.

    Attributes:
        low, high: its ends, ``low < high``.
        ticks: the values that are marked, ascending, all inside.
        share: whether values are written in per cent.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    share: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, in per cent of the axis, to a hundredth; held inside its ends."""
        # Halves, because the distance between two floats may be more than the largest float.
        return round(100 * min(max((value / 2 - self.low / 2) / (self.high / 2 - self.low / 2), 0.0), 1.0), 2)

    def write(self, value: float) -> str:
        """A value, as the chart words it."""
        return percent(value) if self.share else number(value)

    def label(self, value: float) -> str:
        """A tick's value, short."""
        return percent(value, 0) if self.share else number(value)


SHARE = Axis(0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0), share=True)
"""The axis of a share: always the whole of it, so that charts can be compared."""


def fitted(values: Iterable[float], *, marks: int = 4, tight: bool = False) -> Axis:
    """An axis that holds the values; ends are ticks, unless ``tight``: then the outermost values.

    Values that are not finite are left out; without any the axis is [0, 1].

    Example:
        >>> fitted([0.3, 4.1])
        Axis(low=0.0, high=5.0, ticks=(0.0, 1.0, 2.0, 3.0, 4.0, 5.0), share=False)
        >>> fitted([1, 150], tight=True)
        Axis(low=1.0, high=150.0, ticks=(50.0, 100.0, 150.0), share=False)
    """
    finite = [held(float(value)) for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    if high - low <= max(1e-9 * max(abs(low), abs(high)), _SMALLEST):
        reach = 0.5 * abs(high) if abs(high) > _SMALLEST else 0.5
        low, high = low - reach, high + reach
    step = _step((high - low) / marks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = tuple(index * step for index in range(first, last + 1))
    if not tight:
        return Axis(ticks[0], ticks[-1], ticks)
    return Axis(low, high, tuple(tick for tick in ticks if low <= tick <= high))


def held(value: float) -> float:
    """The value, or the nearest one whose neighbours on an axis are still finite."""
    return min(max(value, -_LARGEST), _LARGEST)


def _step(rough: float) -> float:
    """The least of 1, 2, 2.5, 5, 10 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * step for step in _STEPS if power * step >= rough * (1 - 1e-9))

"""Sums that add up: what a stream of batches is reduced to."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from concord.report.analysis import Estimate


@dataclass(frozen=True, eq=False)
class Tally:
    """A record of sums; ``a + b`` adds field by field, so batches may come in any order."""

    def __add__(self, other: Self) -> Self:
        return type(self)(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))


@dataclass(frozen=True, eq=False)
class Moments(Tally):
    """Count, sum and sum of squares, each of any one shape."""

    count: Tensor
    total: Tensor
    square: Tensor

    @classmethod
    def of(cls, x: Tensor, where: Tensor, dim: int = 0) -> Moments:
        """Sums along ``dim`` over the entries that count; the others may be NaN."""
        x = torch.where(where, x, 0)
        return cls(where.to(x.dtype).sum(dim), x.sum(dim), x.square().sum(dim))

    @property
    def mean(self) -> Tensor:
        """NaN where nothing was counted."""
        return self.total / self.count

    @property
    def std(self) -> Tensor:
        """With Bessel's correction; 0 for one entry, NaN for none."""
        spread = (self.square - self.total.square() / self.count).clamp(min=0)
        return (spread / (self.count - 1).clamp(min=1)).sqrt()

    def estimate(self, *where: int) -> Estimate:
        """The mean at an index, with its standard error."""
        count = int(self.count[where])
        error = float(self.std[where]) / math.sqrt(count) if count > 1 else math.nan
        return Estimate(float(self.mean[where]), error, count)


@dataclass(frozen=True, eq=False)
class Named:
    """Sum and count of numbers that have names; adds up like a :class:`Tally`."""

    sums: Mapping[str, tuple[float, int]]

    @classmethod
    def of(cls, records: Iterable[Mapping[str, float]]) -> Named:
        """NaN counts for nothing, but its name is known."""
        sums: dict[str, tuple[float, int]] = {}
        for record in records:
            for name, value in record.items():
                total, count = sums.get(name, (0.0, 0))
                sums[name] = (total, count) if math.isnan(value) else (total + value, count + 1)
        return cls(sums)

    def __add__(self, other: Named) -> Named:
        sums = dict(self.sums)
        for name, (total, count) in other.sums.items():
            here, times = sums.get(name, (0.0, 0))
            sums[name] = (here + total, times + count)
        return Named(sums)

    @property
    def means(self) -> dict[str, float]:
        """NaN where nothing was counted."""
        return {name: total / count if count else math.nan for name, (total, count) in self.sums.items()}


@dataclass(frozen=True, eq=False)
class Products(Tally):
    """Sums for Pearson's correlation of two quantities, each of any one shape."""

    count: Tensor
    x: Tensor
    y: Tensor
    xx: Tensor
    yy: Tensor
    xy: Tensor

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> Products:
        """Sums along the first axis over the entries where both are numbers."""
        both = x.isfinite() & y.isfinite()
        x, y = torch.where(both, x, 0), torch.where(both, y, 0)
        return cls(both.to(x.dtype).sum(0), x.sum(0), y.sum(0), x.square().sum(0), y.square().sum(0), (x * y).sum(0))

    @classmethod
    def among(cls, x: Tensor) -> Products:
        """Each column of ``[N, K]`` with each other, over the rows where both are numbers: fields ``[K, K]``."""
        live = x.isfinite()
        x, there = torch.where(live, x, 0), live.to(x.dtype)
        total, square = x.T @ there, x.square().T @ there
        return cls(there.T @ there, total, total.T, square, square.T, x.T @ x)

    @property
    def correlation(self) -> Tensor:
        """NaN where one of them does not vary."""
        covariance = self.xy - self.x * self.y / self.count
        spread_x, spread_y = self.xx - self.x.square() / self.count, self.yy - self.y.square() / self.count
        varies = (spread_x > ROUNDING * self.xx) & (spread_y > ROUNDING * self.yy)
        return torch.where(varies, covariance / (spread_x.sqrt() * spread_y.sqrt()), torch.nan).clamp(-1, 1)


ROUNDING = 1e-12
"""A spread below this share of the sum of squares is rounding."""


@dataclass(frozen=True, eq=False)
class Range:
    """The lowest and highest value seen, ``[K]`` each, and how often."""

    low: Tensor
    high: Tensor
    at_low: Tensor
    at_high: Tensor

    @classmethod
    def of(cls, x: Tensor, where: Tensor) -> Range:
        """``[N, K]``; a column without an entry has low = inf and high = -inf."""
        low, high = torch.where(where, x, torch.inf).amin(0), torch.where(where, x, -torch.inf).amax(0)
        return cls(low, high, (where & (x == low)).sum(0), (where & (x == high)).sum(0))

    def __add__(self, other: Range) -> Range:
        low, high = torch.minimum(self.low, other.low), torch.maximum(self.high, other.high)
        return Range(
            low,
            high,
            self.at_low * (self.low == low) + other.at_low * (other.low == low),
            self.at_high * (self.high == high) + other.at_high * (other.high == high),
        )

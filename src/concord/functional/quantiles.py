"""Quantiles of a few values, some of them absent."""

from __future__ import annotations

import torch
from torch import Tensor


def upper_quantile(x: Tensor, where: Tensor, level: float) -> Tensor:
    """The largest value that is a quantile: ``[G, ...] -> [...]``.

        q = x_(floor(level * n) + 1), x_(n) at most        x_(1) <= ... <= x_(n), the n values that count

    It is one of the values, at least the share ``level`` is not above it, and where ``level * n`` is whole, exactly
    that many stand before it.

    Args:
        x: values along the leading axis; entries outside ``where`` may be NaN.
        where: of x's shape, bool, the values that count.
        level: in [0, 1].

    Degenerate: NaN where nothing counts.

    Example:
        >>> x = torch.tensor([3.0, 1.0, 2.0, 4.0])
        >>> upper_quantile(x, torch.ones(4, dtype=torch.bool), 0.5)
        tensor(3.)
    """
    ordered, count = _ordered(x, where)
    # The product of a share and a count may come out an ulp below the whole number that it is.
    return _at(ordered, torch.minimum((level * count + 1e-9).floor(), count - 1), count)


def linear_quantile(x: Tensor, where: Tensor, level: float) -> Tensor:
    """The quantile between the two nearest values, as in ``torch.quantile``: ``[G, ...] -> [...]``.

        q = (1 - f) x_(i) + f x_(i + 1)        i + f = 1 + level * (n - 1)

    Args:
        x: values along the leading axis; entries outside ``where`` may be NaN.
        where: of x's shape, bool, the values that count.
        level: in [0, 1].

    Degenerate: NaN where nothing counts.

    Example:
        >>> x = torch.tensor([3.0, 1.0, 2.0, 4.0])
        >>> linear_quantile(x, torch.ones(4, dtype=torch.bool), 0.5)
        tensor(2.5000)
    """
    ordered, count = _ordered(x, where)
    place = level * (count - 1)
    below, above = _at(ordered, place.floor(), count), _at(ordered, place.ceil(), count)
    return below + (above - below) * (place - place.floor()).to(x.dtype)


def _ordered(x: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
    """The values in order, those that do not count last; and how many do, in float64."""
    return torch.where(where, x, torch.inf).sort(0).values, where.sum(0).double()


def _at(ordered: Tensor, place: Tensor, count: Tensor) -> Tensor:
    value = ordered.gather(0, place.clamp(min=0).long()[None])[0]
    return torch.where(count > 0, value, torch.nan)

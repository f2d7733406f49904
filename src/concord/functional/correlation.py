"""How far two numbers move together."""

from __future__ import annotations

import numpy
import torch
from torch import Tensor

from concord.core.errors import BatchError


def pearson(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's correlation: ``[N], [N] -> []``, in [-1, 1].

        sum((x - mean x)(y - mean y)) / sqrt(sum (x - mean x)^2 sum (y - mean y)^2)

    Degenerate: exactly 0, with zero gradient, where either is constant or there are fewer than two points.

    Example:
        >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0, 6.0]))
        tensor(1.0000)
        >>> pearson(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([5.0, 5.0, 5.0]))
        tensor(0.)
    """
    if x.shape != y.shape or x.ndim != 1:
        raise BatchError(f"x and y must be of one length, got {tuple(x.shape)} and {tuple(y.shape)}")
    if len(x) < 2 or bool(x.max() == x.min()) or bool(y.max() == y.min()):
        return (x + y).sum() * 0
    x, y = _scaled(x), _scaled(y)
    return (x * y).sum().clamp(-1, 1)


def spearman(x: Tensor, y: Tensor) -> Tensor:
    """Spearman's correlation, Pearson's of the ranks; equal values share their middle rank.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 3.0, 4.0])
        >>> spearman(x, x.exp())
        tensor(1., dtype=torch.float64)
    """
    return pearson(ranks(x), ranks(y))


def ranks(x: Tensor) -> Tensor:
    """The rank of each value from 0, ``[N] -> [N]`` in float64; equal values share their middle rank.

    Example:
        >>> ranks(torch.tensor([5.0, 3.0, 5.0])).tolist()
        [1.5, 0.0, 1.5]
    """
    _, inverse, counts = numpy.unique(x.numpy(force=True), return_inverse=True, return_counts=True)
    return torch.from_numpy((counts.cumsum() - (counts + 1) / 2)[inverse])


def _scaled(x: Tensor) -> Tensor:
    x = x - x.mean()
    x = x / x.detach().abs().max()  # the squares of very large or small values would leave the float's range
    return x / x.square().sum().sqrt()

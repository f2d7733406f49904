"""Functions of sets, and what each thing adds to those before it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def marginal_gains(function: Callable[[Sequence[T]], float], items: Sequence[T]) -> list[float]:
    """What each thing adds to a function of the set of those before it.

        gain[i] = F(items[0..i]) - F(items[0..i-1])

    The gains add up to F(items) - F(nothing). Where F is submodular, the later of two equal things gains no more
    than the earlier. ``function`` is called with each prefix, the empty one first.

    Source: arXiv:2307.13372.

    Example:
        >>> marginal_gains(coverage, ["ab", "bc", "ab"])
        [2, 1, 0]
    """
    values = [function(items[:i]) for i in range(len(items) + 1)]
    return [after - before for before, after in pairwise(values)]


def coverage(items: Sequence[Iterable[Hashable]]) -> int:
    """How many different elements the sets have together; monotone and submodular.

    Example:
        >>> coverage([{1, 2}, {2, 3}])
        3
    """
    return len({element for item in items for element in item})


def log_volume(vectors: Sequence[Tensor]) -> float:
    """How much of the space vectors span: ``log det(I + Z Z^T)``, monotone and submodular; 0 for none.

    Args:
        vectors: of one length each, ``[H]``; float64 inside.

    Example:
        >>> round(log_volume([torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])]), 6)
        1.386294
    """
    if not vectors:
        return 0.0
    stacked = torch.stack(list(vectors)).double()
    identity = torch.eye(len(stacked), dtype=stacked.dtype, device=stacked.device)
    return float(torch.logdet(identity + stacked @ stacked.T))

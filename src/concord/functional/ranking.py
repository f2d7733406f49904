"""Losses and measures of order: which of two is scored higher, and how far two orders agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from concord.core.errors import BatchError


def ranking_loss(chosen: Tensor, rejected: Tensor, valid: Tensor | None = None) -> Tensor:
    """Bradley-Terry over the pairs that are valid: ``[B], [B] -> []``, 0 where none is.

        L = sum_i m_i * -log sigmoid(chosen_i - rejected_i) / max(1, sum_i m_i)

    A pair that is not valid has no gradient, whatever its scores, NaN among them.

    Args:
        chosen, rejected: raw scores (logits), not probabilities.
        valid: ``[B]`` bool, the m; None = all.

    Raises: BatchError unless the shapes are one.
    Source: arXiv:2508.05613 (Cooper) and arXiv:2507.05197 (POLAR; all valid). Cooper's code divides by
    ``sum m + 1e-6``: its loss is lower by a millionth or less.

    Example:
        >>> chosen, rejected = torch.tensor([1.0, -0.5, 6.0]), torch.tensor([0.0, 0.5, -7.0])
        >>> ranking_loss(chosen, rejected), ranking_loss(chosen, rejected, torch.tensor([True, False, True]))
        (tensor(0.5422), tensor(0.1566))
    """
    valid = torch.ones_like(chosen, dtype=torch.bool) if valid is None else valid
    if chosen.ndim != 1 or not chosen.shape == rejected.shape == valid.shape:
        shapes = [tuple(x.shape) for x in (chosen, rejected, valid)]
        raise BatchError(f"chosen, rejected and valid must be [pairs] each, got {shapes}")
    # Zero before the logarithm, not after it: NaN * 0 would reach the gradient.
    margin = torch.where(valid, chosen, 0) - torch.where(valid, rejected, 0)
    return torch.where(valid, -logsigmoid(margin), 0).sum() / valid.sum().clamp(min=1)


def kendall_tau(scores: Sequence[float], truth: Sequence[float]) -> float:
    """How far two scorings of the same things agree in their order, in [-1, 1].

        tau = mean over pairs i < j of sign(scores_i - scores_j) * sign(truth_i - truth_j)

    A tie in either counts 0 (tau-a). Fewer than two things have no order: 0. So has NaN beside anything.

    Raises: BatchError unless both are of one length.
    Source: Kendall 1938, A New Measure of Rank Correlation.

    Example:
        >>> kendall_tau([4, 3, 2, 1], [4, 3, 2, 1]), round(kendall_tau([4, 3, 1, 2], [4, 3, 2, 1]), 4)
        (1.0, 0.6667)
    """
    if len(scores) != len(truth):
        raise BatchError(f"the scorings are of different lengths, {len(scores)} and {len(truth)}")
    agreements = [
        _sign(scores[i], scores[j]) * _sign(truth[i], truth[j]) for i, j in combinations(range(len(scores)), 2)
    ]
    return sum(agreements) / len(agreements) if agreements else 0.0


def _sign(a: float, b: float) -> int:
    return (a > b) - (a < b)

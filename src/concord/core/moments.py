"""Statistics within groups, exact where a group is unanimous."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.precision import ROUNDING, noise_of


class GroupMoments(NamedTuple):
    """What :func:`group_moments` measures.

    Attributes:
        centred: ``[N, C]`` value minus its group's mean, exactly 0 within the noise; NaN or meaningless outside
            ``where``.
        std: ``[P, C]`` standard deviation, 0 for a flat group.
        counted: ``[P, C]`` entries that counted.
        flat: ``[P, C]`` bool, no entry of the group leaves the noise (or the group has none).
        noise: ``[P, C]``, how far from the mean is float noise.
        low, high: ``[P, C]``, the smallest and the largest entry; the mean for a flat group.
    """

    centred: Tensor
    std: Tensor
    counted: Tensor
    flat: Tensor
    noise: Tensor
    low: Tensor
    high: Tensor


def group_sum(x: Tensor, groups: Groups) -> Tensor:
    """Sum within groups: ``[N, C] -> [P, C]``."""
    block = groups.lay_last(x)
    return (block if groups.dense else block * groups.there).sum(-2).movedim(-1, 0)


def group_mean(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """Mean within groups over ``where``: ``[N, C] -> [P, C]``; 0 if there is no entry."""
    block, live = _blocks(x, groups, where)
    return (torch.where(live, block, 0).sum(-2) / _count(live, x.dtype).clamp(min=1)).movedim(-1, 0)


def group_moments(
    x: Tensor,
    groups: Groups,
    where: Tensor,
    *,
    ddof: int = 1,
    noise: Tensor | None = None,
    precision: Tensor | float | None = None,
) -> GroupMoments:
    """Centre values in their group and measure the spread, over ``where`` only.

        mean[p] = sum(x[n]) / count        std[p] = sqrt(sum((x[n] - mean)^2) / (count - ddof))

    A value within the noise of its group's mean is centred to exactly 0, so that its sign is never that of a rounding
    error; a group of which no value leaves the noise is flat.

    Args:
        x: ``[N, C]``; entries outside ``where`` may be NaN.
        groups: the partition of the N rows.
        where: ``[N, C]`` bool, the entries that count.
        ddof: 1 for Bessel's correction, 0 for the population.
        noise: ``[P, C]``, how far from the mean is noise (``Signal.noise``).
        precision: ``[C]``, the noise as a share of the group's largest value, where ``noise`` is not given; None = the
            rounding of x's own type.

    A group with no entry, or with one, is flat: centred 0, std 0.
    """
    block, live = _blocks(x, groups, where)
    entries = torch.where(live, block, 0)
    counted = _count(live, x.dtype)
    mean = entries.sum(-2) / counted.clamp(min=1)
    if noise is None:
        unit = ROUNDING * torch.finfo(x.dtype).eps if precision is None else precision
        size = entries.abs().amax(-2).T
        noise = noise_of(size, torch.as_tensor(unit, dtype=x.dtype, device=x.device))
    centred = block - mean.unsqueeze(-2)
    # A missing entry is NaN, which is not near anything, and stays NaN.
    centred.masked_fill_(centred.abs() <= noise.T.unsqueeze(-2), 0)
    entries = torch.where(live, centred, 0)
    below, above = entries.amin(-2), entries.amax(-2)
    variance = entries.square().sum(-2) / (counted - ddof).clamp(min=1)
    low, high, flat = mean + below, mean + above, above <= below
    return GroupMoments(groups.unlay_last(centred), variance.sqrt().T, counted.T, flat.T, noise, low.T, high.T)


def _blocks(x: Tensor, groups: Groups, where: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``[C, G, P]``, and where they count."""
    block, live = groups.lay_last(x), groups.lay_last(where)
    return block, live if groups.dense else live & groups.there


def _count(live: Tensor, dtype: torch.dtype) -> Tensor:
    """``[C, P]``, how many members count; sums of numbers are faster than those of truth values."""
    return live.to(dtype).sum(-2)

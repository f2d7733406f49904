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
        low, high: ``[P, C]``, the smallest and the largest entry; 0 without an entry.
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
    block = groups.lay(x)
    if not groups.dense:
        block = block * groups.there[..., None]
    return block.sum(0)


def group_mean(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """Mean within groups over ``where``: ``[N, C] -> [P, C]``; exact if unanimous, 0 if there is no entry."""
    block, live = _blocks(x, groups, where)
    low = _filled(torch.where(live, block, torch.inf).amin(0))
    return low + torch.where(live, block - low, 0).sum(0) / live.sum(0).clamp(min=1)


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
    error; a group of which no value leaves the noise is flat. Values are measured from the group's smallest member
    before they are averaged, and divided by its range before they are squared: 1e200 does not overflow, and 1e-200
    does not vanish.

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
    low = _filled(torch.where(live, block, torch.inf).amin(0))
    high = _filled(torch.where(live, block, -torch.inf).amax(0))
    if noise is None:
        unit = ROUNDING * torch.finfo(x.dtype).eps if precision is None else precision
        noise = noise_of(torch.maximum(low.abs(), high.abs()), torch.as_tensor(unit, dtype=x.dtype, device=x.device))
    counted = live.sum(0).to(x.dtype)
    above = block - low
    mean = torch.where(live, above, 0).sum(0) / counted.clamp(min=1)
    centred = above - mean
    away = centred.abs() > noise
    flat = ~(away & live).any(0)
    # Multiplied, not selected, so that a missing entry stays NaN.
    centred = centred * (away & ~flat)
    span = torch.where(flat, 1, high - low)
    variance = torch.where(live, centred / span, 0).square().sum(0) / (counted - ddof).clamp(min=1)
    std = torch.where(counted > ddof, variance.sqrt() * span, 0)
    return GroupMoments(groups.unlay(centred), std, counted, flat, noise, low, high)


def _blocks(x: Tensor, groups: Groups, where: Tensor) -> tuple[Tensor, Tensor]:
    """Values ``[G, P, C]``, and where they count."""
    block, live = groups.lay(x), groups.lay(where)
    return block, live if groups.dense else live & groups.there[..., None]


def _filled(extreme: Tensor) -> Tensor:
    """0 where a group has no entry."""
    return torch.where(extreme.isinf(), 0, extreme)

"""Statistics within groups, exact where a group is unanimous."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.groups import Groups


class GroupMoments(NamedTuple):
    """What :func:`group_moments` measures.

    Attributes:
        centred: ``[N, C]`` value minus its group's mean; NaN or meaningless outside ``where``.
        std: ``[P, C]`` standard deviation.
        counted: ``[P, C]`` entries that counted.
        flat: ``[P, C]`` bool, the group's entries do not vary (or there are none).
    """

    centred: Tensor
    std: Tensor
    counted: Tensor
    flat: Tensor


FLAT_BELOW = 1e-4
"""A group whose scores differ by less than this share of their size says nothing.

A reward saturated at 1 +- 1e-5 has a standard deviation; divided by it, the noise in the last
digits would weigh as much as any other reward."""


def group_sum(x: Tensor, groups: Groups) -> Tensor:
    """Sum within groups: ``[N, C] -> [P, C]``."""
    block = groups.lay(x)
    if not groups.dense:
        block = block * groups.there[..., None]
    return block.sum(0)


def group_mean(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """Mean within groups over ``where``: ``[N, C] -> [P, C]``; exact if unanimous, 0 if there is no entry."""
    block, live, low = _blocks(x, groups, where)
    return low + torch.where(live, block - low, 0).sum(0) / live.sum(0).clamp(min=1)


def group_moments(x: Tensor, groups: Groups, where: Tensor, *, ddof: int = 1, flat_below: float = 0.0) -> GroupMoments:
    """Centre values in their group and measure the spread, over ``where`` only.

        mean[p] = sum(x[n]) / count        std[p] = sqrt(sum((x[n] - mean)^2) / (count - ddof))

    Values are measured from the group's smallest member before they are averaged, and from
    their largest deviation before they are squared. So a unanimous group is centred to exactly
    0 (a plain float mean is one ulp off for eight times 0.7), and neither 1e30 nor 1e-30
    overflows or vanishes in the square.

    Args:
        x: ``[N, C]``; entries outside ``where`` may be NaN.
        groups: the partition of the N rows.
        where: ``[N, C]`` bool, the entries that count.
        ddof: 1 for Bessel's correction, 0 for the population.
        flat_below: a group whose range is at most this share of its largest magnitude counts as
            unanimous: its entries are centred to exactly 0.

    A group with no entry, or with one, is flat: centred 0, std 0.
    """
    block, live, low = _blocks(x, groups, where)
    counted = live.sum(0).to(x.dtype)
    above = torch.where(live, block - low, 0)
    high = above.amax(0)
    flat = ~(high > flat_below * torch.maximum(low.abs(), (low + high).abs()))
    mean = above.sum(0) / counted.clamp(min=1)
    # Multiplied, not selected, so that a missing entry stays NaN.
    centred = (block - low - mean) * ~flat
    unit = torch.where(flat, 1, high)
    variance = torch.where(live, centred / unit, 0).square().sum(0) / (counted - ddof).clamp(min=1)
    std = torch.where(counted > ddof, variance.sqrt() * unit, 0)
    return GroupMoments(groups.unlay(centred), std, counted, flat)


def _blocks(x: Tensor, groups: Groups, where: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Values ``[G, P, C]``, where they count, and the smallest that counts ``[P, C]`` (0 if none does)."""
    block, live = groups.lay(x), groups.lay(where)
    if not groups.dense:
        live = live & groups.there[..., None]
    low = torch.where(live, block, torch.inf).amin(0)
    return block, live, torch.where(low.isinf(), 0, low)

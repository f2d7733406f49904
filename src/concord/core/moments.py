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
        block = torch.where(groups.there[..., None], block, 0)
    return block.sum(1)


def group_mean(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """Mean within groups over ``where``: ``[N, C] -> [P, C]``; exact if unanimous, 0 if there is no entry."""
    count = group_sum(where.to(x.dtype), groups)
    low = _smallest(x, groups, where)
    above = torch.where(where, x - groups.spread(low), 0)
    return low + group_sum(above, groups) / count.clamp(min=1)


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
    block, live = groups.lay(x), groups.lay(where)
    if not groups.dense:
        live = live & groups.there[..., None]
    count = live.sum(1).to(x.dtype)
    low = torch.where(live, block, torch.inf).amin(1, keepdim=True)
    high = torch.where(live, block, -torch.inf).amax(1, keepdim=True)
    flat = ~(high - low > flat_below * torch.maximum(low.abs(), high.abs()))  # an empty group too
    above = torch.where(live & ~flat, block - low, 0)
    mean = above.sum(1, keepdim=True) / count.clamp(min=1)[:, None]
    centred = torch.where(live & ~flat, above - mean, 0)
    unit = torch.where(flat, 1, high - low)
    variance = (centred / unit).square().sum(1) / (count - ddof).clamp(min=1)
    std = torch.where(count > ddof, variance.sqrt() * unit[:, 0], 0)
    return GroupMoments(torch.where(where, groups.unlay(centred), torch.nan), std, count, flat[:, 0])


def _smallest(x: Tensor, groups: Groups, where: Tensor) -> Tensor:
    block, live = groups.lay(x), groups.lay(where)
    if not groups.dense:
        live = live & groups.there[..., None]
    low = torch.where(live, block, torch.inf).amin(1)
    return torch.where(low.isinf(), 0, low)

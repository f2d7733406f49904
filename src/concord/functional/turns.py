"""Rollouts in several turns: each turn a row of the batch, its trajectory and its number two columns.

Rows of one trajectory lie in one group, and a turn's number occurs in it once; numbers may be missing, and rows may lie
in any order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.moments import group_moments


def mates(key: Tensor, groups: Groups) -> Tensor:
    """Which members of its group a row shares a key with, itself among them: ``[N] -> [N, G]`` bool.

    Example:
        >>> mates(torch.tensor([7, 7, 8, 7]), Groups.uniform(2, 2)).tolist()
        [[True, True], [True, True], [True, False], [False, True]]
    """
    return (_members(key, groups) == key[:, None]) & _members_there(groups)


def later_turns(x: Tensor, trajectory: Tensor, turn: Tensor, groups: Groups, *, gamma: float = 1.0) -> Tensor:
    """The discounted sum of a turn's value and those after it in its trajectory: ``[N] -> [N]``.

        y[n] = sum(gamma^(turn[m] - turn[n]) * x[m] : m in trajectory(n), turn[m] >= turn[n])

    Source: IGPO, arXiv:2510.14967.

    Example:
        >>> x, number = torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 2])
        >>> later_turns(x, torch.tensor([5, 5, 5]), number, Groups.uniform(1, 3), gamma=0.5)
        tensor([3., 4., 4.])
    """
    ahead = _members(turn, groups) - turn[:, None]
    counts = mates(trajectory, groups) & (ahead >= 0)
    factor = torch.pow(torch.full_like(x, gamma)[:, None], ahead.clamp(min=0).to(x.dtype))
    return torch.where(counts, factor * _members(x, groups), 0).sum(1)


def turns_left(trajectory: Tensor, turn: Tensor, groups: Groups) -> Tensor:
    """How far a turn is from the last one of its trajectory: ``[N] -> [N]``, 0 for the last.

    Example:
        >>> turns_left(torch.tensor([1, 1, 2]), torch.tensor([0, 3, 0]), Groups.uniform(1, 3)).tolist()
        [3, 0, 0]
    """
    others = torch.where(mates(trajectory, groups), _members(turn, groups), turn[:, None])
    return others.amax(1) - turn


def normalize_within(
    x: Tensor,
    key: Tensor,
    groups: Groups,
    where: Tensor,
    *,
    eps: float = 1e-6,
    ddof: int = 1,
    noise: Tensor | None = None,
) -> Tensor:
    """Standardise values among the rows of their group that have their key: ``[N] -> [N]``.

        y[n] = (x[n] - mean) / (std + eps)      over m in group(n) with key[m] == key[n], where it counts

    A row without mates, or whose mates' values are all alike, gives exactly 0; a missing one stays NaN.

    Args:
        x: ``[N]``.
        key: ``[N]`` int64 or bool.
        groups: the partition of the N rows.
        where: ``[N]`` bool, the rows that count.
        eps: added to the deviation.
        ddof: 1 for Bessel's correction, 0 for the population.
        noise: ``[P]``, how far from the mean is float noise; None = the rounding of x's type.
    """
    found = mates(key, groups) & where[:, None]
    # Channel g holds the mates of the group's member g, so that each row finds its own statistics in its own place.
    own = (groups.slot // groups.count)[:, None]
    noise = None if noise is None else noise[:, None]
    moments = group_moments(x[:, None].expand_as(found), groups, found, ddof=ddof, noise=noise)
    std = groups.spread(moments.std).gather(1, own)
    return (moments.centred.gather(1, own) / (std + eps))[:, 0]


def _members(x: Tensor, groups: Groups) -> Tensor:
    """The values of its whole group beside each row: ``[N] -> [N, G]``; padding means nothing."""
    return groups.spread(groups.lay(x).T)


def _members_there(groups: Groups) -> Tensor:
    return groups.spread(groups.there.T)

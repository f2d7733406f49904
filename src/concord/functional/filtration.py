"""How often a rollout is drawn, by its rank among those of its prompt."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.core.groups import Groups
from concord.core.moments import group_sum

Filter = Literal["best", "best_random", "best_worst", "power"]


def filter_weights(score: Tensor, groups: Groups, where: Tensor, rule: Filter, *, power: float = 2.0) -> Tensor:
    """The odds that a rollout is drawn for training: ``[N] -> [N]``, 0 outside ``where``.

        best         1 for the best of its group                   (BoN)
        best_random  1 for the best, 1 / (G - 1) for each other    (BR: the best, and one other at random)
        best_worst   1 for the best, 1 for the worst               (BW)
        power        |score|^power, whatever the group

    Those that tie for a place share it.  G counts the rollouts in ``where``.

    Source: PF-PPO, arXiv:2409.06957. Its authors' code breaks ties by the order of the batch, and its ``best_random``
    has 0.4 and 0.1 for every G: the same odds at G = 5.

    Raises: ConfigError for an unknown rule.

    Example:
        >>> score = torch.tensor([3.0, 1.0, 3.0, 2.0])
        >>> filter_weights(score, Groups.uniform(1, 4), torch.ones(4, dtype=torch.bool), "best_worst")
        tensor([0.5000, 1.0000, 0.5000, 0.0000])
    """
    if rule not in get_args(Filter):
        raise ConfigError(f"rule must be one of {', '.join(get_args(Filter))}, got {rule!r}")
    if rule == "power":
        return torch.where(where, score.abs().pow(power), 0)
    best = _share_of_best(score, groups, where)
    if rule == "best":
        return best
    if rule == "best_worst":
        return best + _share_of_best(-score, groups, where)
    count = groups.spread(group_sum(where[:, None].to(score.dtype), groups))[:, 0]
    return best + torch.where(where, (1 - best) / (count - 1).clamp(min=1), 0)


def _share_of_best(score: Tensor, groups: Groups, where: Tensor) -> Tensor:
    """1 for the highest of a group, split evenly among equals."""
    block, live = groups.lay(score), groups.lay(where) & groups.there
    top = torch.where(live, block, -torch.inf).amax(0)
    best = (live & (block == top)).to(score.dtype)
    return groups.unlay(best / best.sum(0).clamp(min=1))

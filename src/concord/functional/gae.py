"""Advantages of tokens from a critic's values, and the critic's loss."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from concord.core.errors import BatchError


class Estimate(NamedTuple):
    """What :func:`gae` makes of rewards and values, each ``[N, T]`` and 0 off the mask.

    Attributes:
        advantages: how much better than expected it went from this token on.
        returns: what the value should have been.
    """

    advantages: Tensor
    returns: Tensor


def gae(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float = 1.0, lam: float = 0.95) -> Estimate:
    """Generalized advantage estimation over the tokens that the policy sampled.

        delta[t] = r[t] + gamma * V[t'] - V[t]       t' the next sampled token; V = 0 after the last
        A[t]     = delta[t] + gamma * lam * A[t']    return[t] = A[t] + V[t]

    A hole in the mask (a tool's answer, an observation) takes no step: neither gamma nor lam applies across it, its
    values are not read, and a reward that lies on it is lost. ``lam=1`` is the discounted return minus V, ``lam=0``
    the one-step error.

    Shapes: rewards, values ``[N, T]`` floating point, mask ``[N, T]`` bool.
    Raises: BatchError where the shapes differ.
    Source: Schulman et al. 2016, arXiv:1506.02438; the holes as in verl-project/verl (core_algos.py) and
    pearls-lab/meow-tea-taro@a9c248c, which leave the neighbour's number on them where here is 0.

    Example:
        >>> rewards, values = torch.tensor([[0.0, 0.0, 1.0]]), torch.tensor([[0.5, 9.0, 0.25]])
        >>> gae(rewards, values, torch.tensor([[True, False, True]]), lam=1.0).advantages
        tensor([[0.5000, 0.0000, 0.7500]])
    """
    if not rewards.shape == values.shape == mask.shape:
        raise BatchError(
            f"rewards, values and mask must have one shape [rollouts, tokens], got {tuple(rewards.shape)}, "
            f"{tuple(values.shape)} and {tuple(mask.shape)}"
        )
    rewards, values = torch.where(mask, rewards, 0), torch.where(mask, values, 0)
    value = advantage = rewards.new_zeros(len(rewards))
    backwards = []
    for r, v, m in zip(*(reversed(x.unbind(1)) for x in (rewards, values, mask)), strict=True):
        advantage = torch.where(m, r + gamma * value - v + gamma * lam * advantage, advantage)
        value = torch.where(m, v, value)
        backwards.append(advantage)
    advantages = torch.where(mask, torch.stack(backwards[::-1], 1), 0) if backwards else rewards
    return Estimate(advantages, advantages + values)


def at_last_token(score: Tensor, mask: Tensor) -> Tensor:
    """A response's score on its last sampled token, 0 on the others: ``[N], [N, T] -> [N, T]``.

    Example:
        >>> at_last_token(torch.tensor([2.0]), torch.tensor([[True, False, True, False]])).tolist()
        [[0.0, 0.0, 2.0, 0.0]]
    """
    last = mask & (mask.cumsum(1) == mask.sum(1, keepdim=True))
    return torch.where(last, score[:, None], 0)


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, *, clip: float = 0.5) -> Tensor:
    """The critic's squared error, where it may not move far from what it said at sampling time: a scalar.

        0.5 * mean over tokens of max((V - return)^2, (clamp(V, V_old - clip, V_old + clip) - return)^2)

    Shapes: all ``[N, T]``; values carries the gradient.  An empty mask gives 0.
    Source: PPO, arXiv:1707.06347, as in verl-project/verl (core_algos.py, ``compute_value_loss``).
    """
    near = torch.maximum(torch.minimum(values, old_values + clip), old_values - clip)
    worse = torch.maximum((values - returns).square(), (near - returns).square())
    return 0.5 * torch.where(mask, worse, 0).sum() / mask.sum().clamp(min=1)

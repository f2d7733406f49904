"""Scores in the unit of how often prompts are solved as well as this one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.core.moments import group_mean, group_moments
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.stages.one_group import one_group

HEAVIEST = 1e6
"""No weight is larger: the authors' bound."""

NARROWEST = 1e8
"""The largest m: a density of rates that differ by less than 1e-4 is beyond the digits of its logarithm."""


@dataclass(frozen=True)
class BetaNormalize(Stage):
    """Centre each channel in its group, divide by a Beta density fitted to the batch's success rates.

        p_g = mean_g(r),   r mapped from [low, high] to [0, 1]
        mu, v = mean and variance of p over the batch's groups
        m = mu (1 - mu) / v - 1,   alpha = max(1, 1 + m mu / 3),   beta = max(1, 1 + m (1 - mu) / 3)
        A[n] = (r[n] - p_g) * min(1 / Beta(p_g; alpha, beta), 1e6)

    Where the batch's prompts are spread evenly the density is 1 and A the centred reward; prompts of a kind that is
    rare in the batch count for more.

    Shapes: [N, C] -> [N, C], each channel with a density of its own; stands before the channels meet.  Units: none.
    State: none.  Columns: none.
    Metrics: ``alpha/<channel>`` and ``beta/<channel>``; ``outside``, the share of scores outside [low, high].
    Raises: ConfigError unless low < high.
    Degenerate: a score within its noise of the group's mean gives exactly 0, and so does a group of one,
    which has no part in mu and v either (the authors give it p = 0). Where all p are equal (m above 1e8), or there is
    one group, the weight is 1; with one group it is so in the authors' code, with v = 0 theirs divides by 0.
    A score outside [low, high] counts as the nearer end (the authors' code stops at a mean outside).
    Source: BNPO, arXiv:2506.02864, ``compute_bnpo_outcome_advantage`` in changyi7231/BNPO@a9c51b9.

    Attributes:
        low, high: the least and the largest score that the reward gives.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ConfigError(f"need low < high, the range of the rewards; got {self.low} and {self.high}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        groups, live = batch.groups, signal.live
        given = (signal.values - self.low) / (self.high - self.low)
        x = given.clamp(0, 1)
        noise = signal.noise_in(groups) / (self.high - self.low)
        moments = group_moments(x, groups, live, noise=noise)
        p = group_mean(x, groups, live).clamp(max=1)
        alpha, beta = _fit(p, moments.counted > 1, noise.amax(0, keepdim=True))
        weight = _density(p, alpha, beta).reciprocal().clamp(max=HEAVIEST).to(x.dtype)
        outside = ((given < 0) | (given > 1)).to(x.dtype)
        metrics = {"outside": masked_mean(outside, live)}
        for channel, a, b in zip(signal.channels, alpha.to(x.dtype), beta.to(x.dtype), strict=True):
            metrics |= {f"alpha/{channel}": a, f"beta/{channel}": b}
        return signal.to(moments.centred * groups.spread(weight), noise=noise * weight, metrics=metrics)


def _fit(p: Tensor, told: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """``alpha`` and ``beta`` ``[C]`` from the success rates ``[P, C]`` and their noise ``[1, C]``."""
    one = one_group(p)  # of prompts
    mu = group_mean(p, one, told)[0]
    among = group_moments(p, one, told, noise=noise)
    variance = torch.where(among.flat[0], 1, among.std[0].square())
    size = mu * (1 - mu) / variance - 1
    size = torch.where(among.flat[0] | (size > NARROWEST), 0, size)
    return (1 + size * mu / 3).clamp(min=1), (1 + size * (1 - mu) / 3).clamp(min=1)


def _density(p: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    log_norm = alpha.lgamma() + beta.lgamma() - (alpha + beta).lgamma()
    log_density: Tensor = torch.xlogy(alpha - 1, p) + torch.special.xlog1py(beta - 1, -p) - log_norm
    return log_density.exp()

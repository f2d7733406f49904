"""Harder rollouts count differently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from concord.core.errors import ConfigError
from concord.core.moments import group_mean, group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.stages.combine import Weigh, Weights
from concord.stages.score import score

BOUND = 20.0
"""On the logarithm of a factor, as for the ratios of losses."""


@dataclass(frozen=True)
class ScaleByDifficulty(Stage):
    """Scale advantages by how unlike the demonstration a response is, and by how far its group's rewards fall short.

        d[n] = 1 - similarity[n]              R[n] = demo_reward[n] - sum_k w_k r_k[n]
        a[n] = sigmoid(d[n]) / sigmoid(mean_g d) * sigmoid(mean_g R') / sigmoid(mean_g R)
        A[n] <- a[n] * A[n]                   R' without the R with (R - mean_g R)^2 > tau

    a > 0 always: no sign changes.

    Shapes: [N, C] -> [N, C].  State: none.
    Columns: ``similarity`` [N], of response and demonstration, in [-1, 1]; ``demo_reward`` [N], the demonstration's.
    Metrics: ``mean`` of a.
    Degenerate: a similarity or reward that is missing (NaN, infinite) counts in no mean, and gives its own factor 1;
    so do gaps that are outliers all. The factor of the rewards is between exp(-20) and exp(20).
    Raises: ConfigError unless tau > 0.
    Source: our reading of GRPO-S in DR-IRL, arXiv:2503.18991: means over the group, tau not published.

    Attributes:
        tau: bound on a gap's squared distance from the mean.
        weights: of the rewards in R.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"similarity", "demo_reward"})
    tau: float = 1.0
    weights: Weights = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", Weigh(self.weights).weights)
        if not self.tau > 0:
            raise ConfigError(f"tau must be positive, got {self.tau}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        dtype = signal.values.dtype
        d = 1 - _known(batch.column("similarity").to(dtype))
        data = d.sigmoid() / _mean(d, batch, signal.keep).sigmoid()
        gap = _known(batch.column("demo_reward").to(dtype)) - score(batch, self.weights).to(dtype)
        mean = _mean(gap, batch, signal.keep)
        close = signal.keep & ((gap - mean).square() <= self.tau)
        some = batch.groups.spread(group_sum(close[:, None].to(dtype), batch.groups) > 0)[:, 0]
        near = torch.where(some, _mean(gap, batch, close), mean)
        # By logarithms: far below 0 both sigmoids are 0 in any float type.
        model = (logsigmoid(near) - logsigmoid(mean)).clamp(-BOUND, BOUND).exp()
        scale = torch.where(data.isnan(), 1, data) * torch.where(gap.isnan(), 1, model)
        return signal.to(signal.values * scale[:, None], metrics={"mean": masked_mean(scale, signal.keep)})


def _known(x: Tensor) -> Tensor:
    """NaN where it is missing."""
    return torch.where(x.isfinite(), x, torch.nan)


def _mean(x: Tensor, batch: Rollouts, where: Tensor) -> Tensor:
    """``[N]``: over those of the group that are there."""
    return batch.groups.spread(group_mean(x[:, None], batch.groups, (where & ~x.isnan())[:, None]))[:, 0]

"""Baselines and scales within a group: what a score is measured against, and in what unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from concord.core.moments import FLAT_BELOW, group_moments
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class GroupNormalize(Stage):
    """Standardise each channel within its group.

        A[n] = (r[n] - mean_g) / (std_g + eps)

    After ``Sum`` this is GRPO's advantage; before it, GDPO's decoupled normalisation.

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.  Columns: none.
    Metrics: ``flat/<channel>``, the share of groups in which the channel does not vary.
    Degenerate: a group whose scores are all equal, or differ by no more than ``flat_below`` of
    their size, gives exactly 0; so does a group of one. (verl leaves the raw reward there.)
    Source: Shao et al. 2024, arXiv:2402.03300; per reward, Liu et al. 2026, arXiv:2601.05242.

    Attributes:
        eps: added to the deviation: 1e-6 in verl, 1e-4 in TRL.
        ddof: 1 for Bessel's correction, which every engine applies; 0 for the population.
        flat_below: see above; the engines have no such floor, so there a reward saturated at
            1 +- 1e-5 counts as much as any other.
    """

    eps: float = 1e-6
    ddof: int = 1
    flat_below: float = FLAT_BELOW

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        groups = batch.groups
        centred, std, _, flat = group_moments(
            signal.values, groups, signal.live, ddof=self.ddof, flat_below=self.flat_below
        )
        shares = flat.to(centred.dtype).mean(0)
        return signal.to(
            centred / (groups.spread(std) + self.eps),
            metrics={f"flat/{channel}": share for channel, share in zip(signal.channels, shares, strict=True)},
        )


@dataclass(frozen=True)
class Centre(Stage):
    """Subtract the group's mean.

        A[n] = r[n] - mean_g

    Shapes: [N, C] -> [N, C].  Units: the reward's.  State: none.  Columns: none.
    Degenerate: unanimous groups and groups of one give exactly 0.
    Source: Dr. GRPO, Liu et al. 2025, arXiv:2503.20783.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        return signal.to(group_moments(signal.values, batch.groups, signal.live).centred)


@dataclass(frozen=True)
class LeaveOneOut(Stage):
    """Subtract the mean of the other rollouts in the group.

        A[n] = r[n] - mean(r[m] : m in group(n), m != n) = G / (G - 1) * (r[n] - mean_g)

    Shapes: [N, C] -> [N, C].  Units: the reward's.  State: none.  Columns: none.
    Metrics: ``singletons``, the share of groups with one live rollout.
    Degenerate: a lone rollout has nobody to be compared with and gives exactly 0, as in verl's
    vectorised estimator (its loop leaves the raw reward).
    Source: Ahmadian et al. 2024, arXiv:2402.14740.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        centred, _, count, _ = group_moments(signal.values, batch.groups, signal.live)
        factor = count / (count - 1).clamp(min=1)
        alone = (count == 1).all(1).to(centred.dtype).mean()
        return signal.to(centred * batch.groups.spread(factor), metrics={"singletons": alone})


@dataclass(frozen=True)
class GroupCentreBatchScale(Stage):
    """Centre in the group, divide by the deviation over the whole batch.

        A[n] = (r[n] - mean_g) / (std_batch(r) + eps)

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.  Columns: none.
    Metrics: ``std``, the mean deviation over channels.
    Degenerate: unanimous groups give exactly 0.
    Source: Lite PPO, Liu et al. 2025, arXiv:2508.08221. The deviation is that of the raw scores,
    as in TRL (``scale_rewards="batch"``); the paper can also be read as that of the centred ones.
    """

    eps: float = 1e-6

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        live = signal.live
        centred = group_moments(signal.values, batch.groups, live).centred
        count = live.sum(0)
        mean = torch.where(live, signal.values, 0).sum(0) / count.clamp(min=1)
        spread = torch.where(live, signal.values - mean, 0).square().sum(0)
        std = (spread / (count - 1).clamp(min=1)).sqrt()
        return signal.to(centred / (std + self.eps), metrics={"std": std.mean()})

"""Baselines and scales within a group: what a score is measured against, and in what unit."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.moments import GroupMoments
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage

FAINT = 1e-4
"""A spread within a group below this share of the scores' size, or of their range over the batch, is worth a look."""


@dataclass(frozen=True)
class GroupNormalize(Stage):
    """Standardise each channel within its group.

        A[n] = (r[n] - mean_g) / (std_g + eps)

    After ``Sum`` this is GRPO's advantage; before it, GDPO's decoupled normalisation.

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.  Columns: none.
    Metrics: ``flat/<channel>``, the share of groups in which the channel does not vary; ``faint/<channel>``, the share
    in which the channel varies by less than 1e-4 of its size there, or of its range over the batch: standardised, such
    a difference weighs as much as any other.
    Degenerate: a score within its noise of the group's mean gives exactly 0 (:mod:`concord.core.precision`); so does a
    group of one. (verl leaves the raw reward there.)
    Source: Shao et al. 2024, arXiv:2402.03300; per reward, Liu et al. 2026, arXiv:2601.05242. The engines read a sign
    in rounding errors: a unanimous group of eight times 0.7 has advantages of 0.056 in verl.

    Attributes:
        eps: added to the deviation: 1e-6 in verl, 1e-4 in TRL.
        ddof: 1 for Bessel's correction, which every engine applies; 0 for the population.
    """

    eps: float = 1e-6
    ddof: int = 1

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        moments = signal.moments(batch.groups, ddof=self.ddof)
        # Nothing is left of what a flat group holds beside its live entries: rollouts that were dropped before.
        unit = torch.where(moments.flat, torch.inf, moments.std + self.eps)
        return signal.to(
            moments.centred / batch.groups.spread(unit),
            noise=moments.noise / unit,
            metrics=_flat_and_faint(signal.channels, moments),
        )


def _flat_and_faint(channels: tuple[str, ...], moments: GroupMoments) -> dict[str, Tensor]:
    low, high = moments.low, moments.high
    size = torch.maximum(torch.maximum(high, -low), high.amax(0) - low.amin(0))
    faint = (high - low < FAINT * size) & ~moments.flat
    shares = torch.stack([moments.flat, faint]).to(low.dtype).mean(1)
    names = (f"{what}/{channel}" for what in ("flat", "faint") for channel in channels)
    return dict(zip(names, shares.flatten().unbind(), strict=True))


@dataclass(frozen=True)
class Centre(Stage):
    """Subtract the group's mean.

        A[n] = r[n] - mean_g

    Shapes: [N, C] -> [N, C].  Units: the reward's.  State: none.  Columns: none.
    Degenerate: unanimous groups and groups of one give exactly 0.
    Source: Dr. GRPO, Liu et al. 2025, arXiv:2503.20783.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        moments = signal.moments(batch.groups)
        return signal.to(moments.centred, noise=moments.noise)


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
        moments = signal.moments(batch.groups)
        count = moments.counted
        factor = count / (count - 1).clamp(min=1)
        alone = (count == 1).all(1).to(factor.dtype).mean()
        return signal.to(
            moments.centred * batch.groups.spread(factor), noise=moments.noise * factor, metrics={"singletons": alone}
        )


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
        moments = signal.moments(batch.groups)
        count = live.sum(0)
        mean = torch.where(live, signal.values, 0).sum(0) / count.clamp(min=1)
        spread = torch.where(live, signal.values - mean, 0).square().sum(0)
        std = (spread / (count - 1).clamp(min=1)).sqrt()
        unit = std + self.eps
        return signal.to(moments.centred / unit, noise=moments.noise / unit, metrics={"std": std.mean()})

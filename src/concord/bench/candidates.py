"""Candidates: attempts to do better than GDPO and GD2PO, each GDPO with one thing changed.

They are no methods of the catalogue. What was tried, on which tasks and with what result stands in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from concord.bench.controls import ScaleBatch
from concord.core.chain import Chain
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.conflict import consensus, mixed_sign
from concord.methods import Method, gdpo


def _live(signal: Signal) -> Tensor:
    return torch.where(signal.live, signal.values, 0)


@dataclass(frozen=True)
class WeighByConsensus(Stage):
    """Scale each rollout by how far its channels agree, in place of dropping it.

        x[n] <- x[n] * |sum_k x[n, k]| / sum_k |x[n, k]|

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: ``mean`` of the factor.
    """

    selects: ClassVar[bool] = True

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        factor = consensus(_live(signal)).abs()
        return signal.to(signal.values * factor[:, None], metrics={"mean": masked_mean(factor, signal.keep)})


@dataclass(frozen=True)
class WeighGroupsByConsensus(Stage):
    """Scale each group by how far its channels agree as vectors over its rollouts.

        x[n] <- x[n] * |sum_k x_k| / sum_k |x_k|,      x_k the group's values of channel k, |.| the Euclidean norm

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: ``mean`` of the factor.
    """

    selects: ClassVar[bool] = True

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        x, groups = _live(signal), batch.groups
        joint = group_sum(x.sum(1, keepdim=True).square(), groups).sqrt()
        each = group_sum(x.square(), groups).sqrt().sum(1, keepdim=True)
        factor = joint / each.clamp(min=1e-8)
        return signal.to(signal.values * groups.spread(factor), metrics={"mean": factor.mean()})


@dataclass(frozen=True)
class ProjectConflicts(Stage):
    """Take out of each channel what opposes another, group by group.

        x_k <- x_k - sum over l with <x_k, x_l> < 0 of <x_k, x_l> / <x_l, x_l> * x_l

    as PCGrad (arXiv:2001.06782) does to gradients, with the original of every channel and so in no order.

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: ``opposed``, the share of pairs of channels.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        x, groups = _live(signal), batch.groups
        channels = x.shape[1]
        products = group_sum((x[:, :, None] * x[:, None, :]).flatten(1), groups).view(-1, channels, channels)
        norms = products.diagonal(dim1=1, dim2=2).clamp(min=1e-8)
        share = products.clamp(max=0) / norms[:, None, :]
        moved = x - (groups.spread(share.flatten(1)).view(-1, channels, channels) * x[:, None, :]).sum(2)
        values = torch.where(signal.live, moved, signal.values)
        return signal.to(values, metrics={"opposed": (products < 0).to(x.dtype).mean()})


@dataclass(frozen=True)
class NormalizeAboveNoise(Stage):
    """Standardise each channel within its group, against no less than the batch's usual spread.

        A[n, k] = (r[n, k] - mean_g) / sqrt(std_g^2 + mean over groups of std^2)

    A group in which a reward hardly varies is not blown up to the size of the others.

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: none.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        groups = batch.groups
        moments = signal.moments(groups)
        usual = moments.std.square().mean(0)
        return signal.to(moments.centred / groups.spread((moments.std.square() + usual).sqrt().clamp(min=1e-6)))


@dataclass(frozen=True)
class MaskLowestConsensus(Stage):
    """Drop the rollouts of mixed sign whose channels agree least: a share of the batch, whatever tau that is.

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: ``dropped``, share dropped.
    """

    selects: ClassVar[bool] = True
    share: float = 0.25

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        x = _live(signal)
        mixed = mixed_sign(x) & signal.keep
        score = torch.where(mixed, consensus(x).abs(), 2)
        rank = score.argsort().argsort()
        drop = mixed & (rank < self.share * signal.keep.sum())
        return signal.to(keep=signal.keep & ~drop, metrics={"dropped": masked_mean(drop.to(x.dtype), signal.keep)})


class First(NamedTuple):
    """A reward's mean and spread at the first step: ``[K]`` each."""

    mean: Tensor
    std: Tensor


@dataclass(frozen=True)
class WeighByProgress(Stage):
    """Weigh the rewards that have gained least the most.

        w_k = K * softmax_k(-(mean_k - mean_k at step 1) / std_k at step 1)

    Shapes: [N, K] -> [N, K].  Columns: none.  State: the first step's moments.  Metrics: ``smallest`` weight.
    """

    def init(self) -> First | None:
        return None

    def step(self, signal: Signal, batch: Rollouts, state: First | None) -> tuple[Signal, First]:
        rewards = batch.rewards
        mean = rewards.nanmean(0)
        state = state or First(mean, (rewards - mean).square().nanmean(0).sqrt().clamp(min=1e-3))
        weights = len(mean) * torch.softmax(-(mean - state.mean) / state.std, 0)
        return signal.to(signal.values * weights, metrics={"smallest": weights.min()}), state


def _with(stage: Stage) -> Method:
    """GDPO with one stage more, before the sum."""
    normalize, weigh, *rest = gdpo().signal.stages
    return Method(Chain((normalize, weigh, stage, *rest)), gdpo().objective)


def soft_mask() -> Method:
    """Soft weights by consensus in place of GD2PO's mask."""
    return _with(WeighByConsensus())


def soft_mask_scaled() -> Method:
    """The same, and a batch step that divides and does not subtract."""
    return Method(soft_mask().signal.replace("whiten", ScaleBatch()), gdpo().objective)


def group_consensus() -> Method:
    """Consensus measured over the group, as a weight of the group."""
    return _with(WeighGroupsByConsensus())


def projected() -> Method:
    """What opposes another reward is projected out, per group."""
    return _with(ProjectConflicts())


def noise_floor() -> Method:
    """Rewards are normalised against no less than their usual spread."""
    method = gdpo()
    return Method(method.signal.replace("group_normalize", NormalizeAboveNoise()), method.objective)


def adaptive_tau(*, share: float = 0.25) -> Method:
    """GD2PO's mask at the threshold that drops a given share of the batch, without the groups' weights."""
    return _with(MaskLowestConsensus(share))


def progress() -> Method:
    """Rewards that have gained least weigh most."""
    return _with(WeighByProgress())


CANDIDATES: Mapping[str, Callable[..., Method]] = {
    build.__name__: build
    for build in (soft_mask, soft_mask_scaled, group_consensus, projected, noise_floor, adaptive_tau, progress)
}

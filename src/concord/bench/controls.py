"""Controls: methods that share one part of GD2PO, or of GDPO's whitening, and not the others.

They are no methods to train with, so they are not in the catalogue; they tell what a method's result is owed to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.methods import Method, gd2po, gdpo
from concord.stages import MaskConflicts, ReweightGroups


@dataclass(frozen=True)
class MaskAtRandom(Stage):
    """Drop as many rollouts of each group as :class:`concord.stages.MaskConflicts` would, but any.

    Shapes: [N, C] -> [N, C].  Columns: none.  State: the number of steps so far, which seeds the draw.
    Metrics: ``dropped``, share dropped.
    """

    selects: ClassVar[bool] = True
    tau: float = 0.8

    def init(self) -> int:
        return 0

    def step(self, signal: Signal, batch: Rollouts, state: int) -> tuple[Signal, int]:
        groups = batch.groups
        informed = signal.keep & ~MaskConflicts(self.tau).apply(signal, batch).keep
        draw = torch.rand(len(groups), generator=torch.Generator().manual_seed(state)).to(signal.values.device)
        # Ranked within its group, what cannot be dropped last; as many of the first as the filter would take.
        order = groups.lay(torch.where(signal.keep, draw, 2.0))
        order = torch.where(groups.there, order, 3.0)
        rank = order.argsort(0).argsort(0)
        count = (groups.lay(informed) & groups.there).sum(0)
        drop = groups.unlay(rank < count)
        metrics = {"dropped": masked_mean(drop.to(signal.values.dtype), signal.keep)}
        return signal.to(keep=signal.keep & ~drop, metrics=metrics), state + 1


@dataclass(frozen=True)
class ReweightByConflicts(Stage):
    """Scale each group by the share that :class:`concord.stages.MaskConflicts` would keep, and keep them all.

    Shapes: [N, C] -> [N, C].  Columns: none.  State: none.  Metrics: of :class:`concord.stages.ReweightGroups`.
    """

    selects: ClassVar[bool] = True
    tau: float = 0.8

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        weighed = ReweightGroups().apply(MaskConflicts(self.tau).apply(signal, batch), batch)
        return signal.to(weighed.values, metrics=weighed.metrics)


@dataclass(frozen=True)
class ScaleLikeGd2po(Stage):
    """Scale the whole batch so that its advantages are as large as GD2PO's on the same batch.

        x <- x * |A_gd2po| / |x|,      |x|^2 = sum_n length[n] * x[n]^2

    The norm is that of the advantages over tokens, which stands in for the gradient's.

    Shapes: [N, 1] -> [N, 1].  Columns: ``lengths``.  State: none.  Metrics: ``factor``.
    Degenerate: without signal it stays exactly 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    tau: float = 0.8

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        theirs = gd2po(tau=self.tau).signal(batch).advantages
        own = torch.where(signal.live, signal.values, 0)[:, 0]
        factor = _norm(theirs, batch) / _norm(own, batch).clamp(min=1e-8)
        return signal.to(signal.values * factor, metrics={"factor": factor})


@dataclass(frozen=True)
class ScaleBatch(Stage):
    """Divide by the root mean square over the batch's tokens: whitening that subtracts no mean, so turns no sign.

        A = x / sqrt(mean(x^2) + 1e-8)

    Shapes: [N, C] -> [N, C].  Columns: ``lengths``.  State: none.  Metrics: ``gain``, the mean multiplier.
    Degenerate: a batch without signal stays exactly 0.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        weight = signal.live * batch.column("lengths")[:, None]
        square = (weight * torch.where(signal.live, signal.values, 0).square()).sum(0) / weight.sum(0).clamp(min=1)
        gain = (square + 1e-8).rsqrt()
        return signal.to(signal.values * gain, metrics={"gain": gain.mean()})


def _norm(x: Tensor, batch: Rollouts) -> Tensor:
    return (batch.column("lengths") * x.square()).sum().sqrt()


def random_mask(*, tau: float = 0.8) -> Method:
    """GD2PO that drops as many rollouts of each group, but any: is the filter informed?"""
    method = gd2po(tau=tau)
    return Method(method.signal.replace("mask_conflicts", MaskAtRandom(tau)), method.objective)


def mask_only(*, tau: float = 0.8) -> Method:
    """GD2PO without the groups' weights."""
    method = gd2po(tau=tau)
    return Method(method.signal.without("reweight_groups"), method.objective)


def reweight_only(*, tau: float = 0.8) -> Method:
    """GD2PO's group weights, with every rollout kept."""
    method = gd2po(tau=tau).signal.without("reweight_groups")
    return Method(method.replace("mask_conflicts", ReweightByConflicts(tau)), gdpo().objective)


def reweight_last(*, tau: float = 0.8) -> Method:
    """GD2PO whose groups' weights come after the batch step, as in its paper, and not before it, as in its code."""
    method = gd2po(tau=tau)
    before = method.signal.without("reweight_groups").stages
    return Method(Chain((*before, ReweightGroups())), method.objective)


def gdpo_same_norm(*, tau: float = 0.8) -> Method:
    """GDPO with advantages as large as GD2PO's: is it the size of the step?"""
    method = gdpo()
    return Method(Chain((*method.signal.stages, ScaleLikeGd2po(tau))), method.objective)


def gdpo_scale_only() -> Method:
    """GDPO whose batch step divides and does not subtract: what do whitening's turned signs cost?"""
    method = gdpo()
    return Method(method.signal.replace("whiten", ScaleBatch()), method.objective)


CONTROLS: Mapping[str, Callable[..., Method]] = {
    build.__name__: build
    for build in (random_mask, mask_only, reweight_only, reweight_last, gdpo_same_norm, gdpo_scale_only)
}

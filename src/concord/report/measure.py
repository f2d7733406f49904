"""A batch through the stages: what each reward says of each rollout, and what a method makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.moments import GroupMoments, group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.functional.conflict import consensus, mixed_sign
from concord.functional.whitening import whiten
from concord.methods import create
from concord.report.batches import Batch, Weights
from concord.stages import GroupNormalize, Whiten

NUMERICS = "trl"
"""Dumps seldom have lengths in tokens; TRL's batch step counts rollouts."""

TAU = 0.8
"""GD2PO's threshold in the authors' scripts."""

MethodKey = tuple[str, float | None]
"""A method's name, and its tau if it has one."""


@lru_cache(maxsize=256)
def chain(method: MethodKey, weights: Weights) -> Chain:
    """A method's signal chain in this report's numerics."""
    name, tau = method
    parameters = {} if tau is None else {"tau": tau}
    return create(name, weights=weights, numerics=NUMERICS, **parameters).signal


@dataclass(frozen=True, eq=False)
class Chosen:
    """What a method makes of a batch.

    Attributes:
        advantages: ``[N]``, whitened step by step; 0 where not kept.
        keep: ``[N]`` bool.
        gain: ``[S]``, the whitening's multiplier in each step; NaN for a step without signal, or a
            method that does not whiten.
    """

    advantages: Tensor
    keep: Tensor
    gain: Tensor


class Measured:
    """A batch and what the stages make of it.

    Attributes:
        batch: the batch.
        groups: its groups.
        scores: ``[N, K]`` as read; not finite = not scored.
        scored: ``[N]`` bool, some reward scored it.
        moments: of the scores within groups.
        z: ``[N, K]`` scores standardised in their group; 0 where not scored.
        x: ``[N, K]`` contributions w z; 0 where not scored.
    """

    def __init__(self, batch: Batch) -> None:
        rollouts = batch.rollouts
        start = Signal.start(rollouts)
        gdpo = chain(("gdpo", None), batch.weights)
        trace = dict(gdpo.without("whiten")(rollouts, trace=True).trace)
        self.batch = batch
        self.groups: Groups = rollouts.groups
        self.scores: Tensor = rollouts.rewards
        self.scored: Tensor = start.keep
        self.moments: GroupMoments = start.moments(self.groups)
        self.z: Tensor = trace["group_normalize"].values.nan_to_num()
        self.x: Tensor = trace["weigh"].values.nan_to_num()
        self._chosen: dict[Chain, Chosen] = {}

    def chosen(self, name: str, tau: float | None = None) -> Chosen:
        """What a method makes of the batch, each step by itself."""
        method = chain((name, tau), self.batch.weights)
        if method not in self._chosen:
            self._chosen[method] = self._choose(method)
        return self._chosen[method]

    @cached_property
    def weights(self) -> Tensor:
        """``[K]``."""
        named = dict(self.batch.weights)
        return self.x.new_tensor([named.get(name, 1.0) for name in self.batch.rollouts.names])

    @cached_property
    def pulls(self) -> Tensor:
        """``[N, K]``: z, turned round where the weight is negative."""
        return self.z * torch.where(self.weights < 0, -1.0, 1.0).double()

    @cached_property
    def net(self) -> Tensor:
        """``[N]``, S = sum_k x_k."""
        return self.x.sum(1)

    @cached_property
    def gross(self) -> Tensor:
        """``[N]``, sum_k |x_k|."""
        return self.x.abs().sum(1)

    @cached_property
    def mixed(self) -> Tensor:
        """``[N]`` bool."""
        return mixed_sign(self.x)

    @cached_property
    def consensus(self) -> Tensor:
        """``[N]``, signed."""
        return consensus(self.x)

    def _choose(self, method: Chain) -> Chosen:
        steps = self.batch.steps
        last = method.stages[-1]
        if not isinstance(last, Whiten):
            outcome = method(self.batch.rollouts)
            return Chosen(outcome.advantages, outcome.keep, outcome.advantages.new_full((steps.count,), torch.nan))
        outcome = method.without(last.name)(self.batch.rollouts)
        # Steps as channels: one call whitens each of them by itself.
        there = steps.there & steps.lay(outcome.keep)
        white = whiten(steps.lay(outcome.advantages), there.double(), eps=last.eps, eps_in_root=last.eps_in_root)
        magnitude = outcome.advantages.abs()[:, None]
        silent = self.groups.spread(group_sum(magnitude, self.groups))[:, 0] == 0
        advantages = torch.where(outcome.keep & ~silent, steps.unlay(white.values), 0)
        loud = group_sum((magnitude > 0).double(), steps)[:, 0] > 0
        return Chosen(advantages, outcome.keep, torch.where(loud, white.gain, torch.nan))


def standardised(values: Tensor, groups: Groups) -> Tensor:
    """``[N] -> [N, 1]``: by the same stage as the rewards; 0 where not known."""
    rollouts = Rollouts(values[:, None], groups, ("value",))
    return GroupNormalize().apply(Signal.start(rollouts), rollouts).values.nan_to_num()

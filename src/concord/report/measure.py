"""One batch through the stages: what each reward says of each rollout, and what the sum makes of it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.moments import FLAT_BELOW, GroupMoments, group_moments
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome, Signal
from concord.functional.conflict import DEAD_ZONE, consensus, mixed_sign
from concord.methods import create
from concord.report.batches import Batch, Weights
from concord.stages import GroupNormalize

NUMERICS = "trl"
"""Dumps seldom have lengths in tokens; TRL's batch step counts rollouts."""

TAU = 0.8
"""GD2PO's threshold in the authors' scripts."""


@lru_cache(maxsize=256)
def chain(method: str, weights: Weights, tau: float | None = None) -> Chain:
    """A method's signal chain in this report's numerics."""
    parameters = {} if tau is None else {"tau": tau}
    return create(method, weights=weights, numerics=NUMERICS, **parameters).signal


@dataclass(frozen=True, eq=False)
class Measured:
    """A batch and what GDPO's stages make of it.

    Attributes:
        batch: the batch.
        scored: ``[N]`` bool, some reward scored it.
        z: ``[N, K]`` scores standardised in their group; 0 where not scored.
        x: ``[N, K]`` contributions w z; 0 where not scored.
        moments: of the raw scores within groups.
        gdpo, gd2po: outcomes of the two methods, the second at ``TAU``.
    """

    batch: Batch
    scored: Tensor
    z: Tensor
    x: Tensor
    moments: GroupMoments
    gdpo: Outcome
    gd2po: Outcome

    @classmethod
    def of(cls, batch: Batch) -> Measured:
        rollouts = batch.rollouts
        start = Signal.start(rollouts)
        gdpo = chain("gdpo", batch.weights)(rollouts, trace=True)
        trace = dict(gdpo.trace)
        return cls(
            batch,
            start.keep,
            trace["group_normalize"].values.nan_to_num(),
            trace["weigh"].values.nan_to_num(),
            group_moments(start.values, rollouts.groups, start.live, flat_below=FLAT_BELOW),
            gdpo,
            chain("gd2po", batch.weights, TAU)(rollouts),
        )

    @property
    def groups(self) -> Groups:
        return self.batch.rollouts.groups

    @property
    def scores(self) -> Tensor:
        """``[N, K]`` as read; not finite = not scored."""
        return self.batch.rollouts.rewards

    @cached_property
    def weights(self) -> Tensor:
        """``[K]``."""
        named = dict(self.batch.weights)
        return self.x.new_tensor([named.get(name, 1.0) for name in self.batch.rollouts.names])

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

    @cached_property
    def silent(self) -> bool:
        """Whether the sum says nothing anywhere in the batch; its whitening gain then means nothing."""
        return not bool((self.net.abs() > DEAD_ZONE).any())

    @cached_property
    def pulls(self) -> Tensor:
        """``[N, K + 1]``: z, turned round where the weight is negative, and the standardised length."""
        turned = self.z * torch.where(self.weights < 0, -1.0, 1.0)
        return torch.cat([turned, standardised(self.batch.lengths, self.groups)], 1)

    def shuffled(self, values: Tensor, seed: int) -> Tensor:
        """``[N, C]``: each column shuffled within its groups, independently of the others."""
        return shuffle(values, self.groups, seed)


def standardised(values: Tensor, groups: Groups) -> Tensor:
    """``[N] -> [N, 1]``: by the same stage as the rewards; 0 where not known."""
    rollouts = Rollouts(values[:, None], groups, ("value",))
    return GroupNormalize().apply(Signal.start(rollouts), rollouts).values.nan_to_num()


def shuffle(values: Tensor, groups: Groups, seed: int) -> Tensor:
    """Permute each column of ``[N, C]`` within groups, each on its own; the same seed, the same order."""
    block = groups.lay(values)
    keys = torch.rand(block.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    keys = torch.where(groups.there[..., None], keys, torch.inf)  # padding stays last
    return groups.unlay(block.gather(0, keys.argsort(0)))

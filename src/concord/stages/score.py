"""The rewards as one number, for a stage that reads them after the signal has become something else."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError, nearest
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.stages.combine import Sum, Weigh, Weights


def score(batch: Rollouts, weights: Weights) -> Tensor:
    """The weighted sum of the rewards, as :class:`Weigh` and :class:`Sum` have it: ``[N]``, NaN = not scored."""
    return Sum().apply(Weigh(weights).apply(Signal.start(batch), batch), batch).values[:, 0]


def raw_score(batch: Rollouts, name: str | None) -> Tensor:
    """A reward by name, or the sum of all: ``[N]``, NaN where not scored.

    Raises: BatchError if the batch has no reward of that name.
    """
    rewards = Signal.start(batch).values
    if name is None:
        return torch.where(rewards.isnan().all(1), torch.nan, rewards.nansum(1))
    if name not in batch.names:
        raise BatchError(
            f"reward {name!r} is to say what is right; the batch has {batch.names}" + nearest(name, batch.names)
        )
    return rewards[:, batch.names.index(name)]

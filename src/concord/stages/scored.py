"""The reward that says whether a response is right, as it was before any stage."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError, nearest
from concord.core.rollouts import Rollouts


def raw_score(batch: Rollouts, name: str | None) -> Tensor:
    """A reward by name, or the sum of all: ``[N]``, NaN where not scored.

    Raises: BatchError if the batch has no reward of that name.
    """
    rewards = torch.where(batch.rewards.isfinite(), batch.rewards, torch.nan)
    if name is None:
        return torch.where(rewards.isnan().all(1), torch.nan, rewards.nansum(1))
    if name not in batch.names:
        raise BatchError(
            f"reward {name!r} is to say what is right; the batch has {batch.names}" + nearest(name, batch.names)
        )
    return rewards[:, batch.names.index(name)]

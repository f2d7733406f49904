"""The rewards as one number, for a stage that reads them after the signal has become something else."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError, nearest
from concord.core.precision import beyond, precision_of
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.stages.combine import Sum, Weigh, Weights


def score(batch: Rollouts, weights: Weights) -> Tensor:
    """The weighted sum of the rewards, as :class:`Weigh` and :class:`Sum` have it: ``[N]``, NaN = not scored."""
    return Sum().apply(Weigh(weights).apply(Signal.start(batch), batch), batch).values[:, 0]


def beyond_threshold(batch: Rollouts, name: str | None, threshold: float) -> Tensor:
    """How far a reward by name, or the sum of all, lies above a threshold: ``[N]``, NaN where not scored.

    Exactly 0 where the two differ by the float noise of the scores, so that 0.1 + 0.2 is not above 0.3.

    Raises: BatchError if the batch has no reward of that name.
    """
    signal = Signal.start(batch)
    values, precision = signal.values, precision_of(batch.rewards)
    if name is not None:
        if name not in batch.names:
            raise BatchError(
                f"reward {name!r} is to say what is right; the batch has {batch.names}" + nearest(name, batch.names)
            )
        column = batch.names.index(name)
        return beyond(values[:, column], threshold, precision[column])
    total = torch.where(signal.keep, values.nansum(1), torch.nan)
    return beyond(total, threshold, precision.sum())

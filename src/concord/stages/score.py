"""The rewards as one number, for a stage that ranks or compares rollouts after the signal has become something else."""

from __future__ import annotations

from torch import Tensor

from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.stages.combine import Sum, Weigh, Weights


def score(batch: Rollouts, weights: Weights) -> Tensor:
    """The weighted sum of the rewards, as :class:`Weigh` and :class:`Sum` have it: ``[N]``, NaN = not scored."""
    return Sum().apply(Weigh(weights).apply(Signal.start(batch), batch), batch).values[:, 0]

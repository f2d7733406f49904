"""From many channels to their mean."""

from __future__ import annotations

from dataclasses import dataclass

from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.stages.combine import Sum


@dataclass(frozen=True)
class Average(Sum):
    """The mean of the channels; a missing score counts as its group's mean for that channel.

        S[n] = sum_k x[n, k] / K

    Shapes: [N, C] -> [N, 1], channel "average".  State: none.  Columns: none.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        total = super().apply(signal, batch)
        count = len(signal.channels)
        return total.to(total.values / count, channels=("average",), noise=total.noise_in(batch.groups) / count)

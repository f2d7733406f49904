"""Groups not worth a gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from concord.core.errors import BatchError, nearest
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class DropUniformGroups(Stage):
    """Drop groups whose rollouts all scored alike: DAPO's dynamic sampling.

        keep[n] = keep[n] and the scores of group(n) vary

    The engine sees them in ``Outcome.empty_groups`` and may sample replacements. Stands before
    ``Sum``: two rewards that differ can add up to one value, and that group is a conflict, not a
    group without signal.

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Metrics: ``dropped``, the share of groups dropped.
    Raises: BatchError if the batch has no reward of that name.
    Source: DAPO, Yu et al. 2025, arXiv:2503.14476 eq. 11.

    Attributes:
        metric: the reward whose variation counts (the paper's is correctness); None means that a
            group is kept if any of its rewards varies.
    """

    selects: ClassVar[bool] = True
    metric: str | None = None

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        flat = signal.moments(batch.groups).flat
        if self.metric is not None:
            if self.metric not in signal.channels:
                raise BatchError(
                    f"dynamic sampling watches reward {self.metric!r}; the batch has {signal.channels}"
                    + nearest(self.metric, signal.channels)
                )
            flat = flat[:, [signal.channels.index(self.metric)]]
        drop = flat.all(1)
        return signal.to(
            keep=signal.keep & ~batch.groups.spread(drop),
            metrics={"dropped": drop.to(signal.values.dtype).mean()},
        )

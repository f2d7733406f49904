"""Groups whose yardstick was too long or too short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import ConfigError
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class DropLopsidedGroups(Stage):
    """Drop groups in which nearly all won against the reference, or nearly all lost.

        keep group g if |sum_g A| / G <= limit

    Shapes: [N, C] -> [N, C]; a group stays if any channel is balanced.  Units: verdicts of -1, 0 and 1.  State: none.
    Columns: none.  Metrics: ``dropped``, the share of groups dropped.
    Degenerate: G counts the rollouts with a verdict, the reference among them.
    Raises: ConfigError unless limit is in [0, 1].
    Source: BRPO, arXiv:2506.00103.
    """

    selects: ClassVar[bool] = True
    limit: float = 0.6

    def __post_init__(self) -> None:
        if not 0 <= self.limit <= 1:
            raise ConfigError(f"limit must be in [0, 1], got {self.limit}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        live = signal.live
        total = group_sum(torch.where(live, signal.values, 0), batch.groups)
        count = group_sum(live.to(total.dtype), batch.groups)
        drop = (total.abs() / count.clamp(min=1) > self.limit).all(1)
        return signal.to(
            keep=signal.keep & ~batch.groups.spread(drop), metrics={"dropped": drop.to(total.dtype).mean()}
        )

"""How likely a response should become, in units of how likely it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage
from concord.functional.quantiles import linear_quantile


@dataclass(frozen=True)
class BoundedTarget(Stage):
    """Write the ratio that the loss draws each response to; the advantages stay as they are.

        target[n] = 1 - low + (low + high) * sigmoid((x[n] - median_g(x)) / temperature)

    With a low temperature a response above its group's median has target ``1 + high``, one below it ``1 - low``, and
    one that is the median ``1 + (high - low) / 2``.

    Shapes: [N, 1] -> [N, 1], stands after the advantage, in whose unit the temperature is.  State: none.
    Columns: none; writes ``target`` [N].  Metrics: ``up``, the share of live rollouts with a target above 1.
    Degenerate: in a group of an even number the median is the mean of the middle two; a group whose values are all
    equal has the median's target; a rollout without a value has target 1.
    Raises: ConfigError unless 0 <= low <= 1, 0 <= high and temperature > 0; BatchError for several channels.
    Source: GBPO, arXiv:2604.18578, as in the authors' code, where the target is a fact of the batch too.
    """

    writes: ClassVar[frozenset[str]] = frozenset({"target"})
    low: float = 0.3
    high: float = 0.3
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.low <= 1 and self.high >= 0):
            raise ConfigError(f"the bounds must be 0 <= low <= 1 and high >= 0, got {self.low} and {self.high}")
        if not self.temperature > 0:
            raise ConfigError(f"temperature must be positive, got {self.temperature}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(f"a target is of one channel, this signal has {signal.channels}; add Sum() before it")
        groups, live = batch.groups, signal.live[:, 0]
        x = torch.where(live, signal.values[:, 0], 0)
        median = linear_quantile(groups.lay(x), groups.lay(live) & groups.there, 0.5)
        above = (x - groups.spread(median)) / self.temperature
        target = 1 - self.low + (self.low + self.high) * above.sigmoid()
        target = torch.where(live, target, 1)
        up = (live & (target > 1)).sum() / live.sum().clamp(min=1)
        return signal.to(metrics={"up": up}).with_columns(target=target)

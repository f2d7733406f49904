"""From many channels to one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch

from concord.core.errors import BatchError, ConfigError, nearest
from concord.core.moments import group_mean
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage

Weights = Mapping[str, float] | Iterable[tuple[str, float]]


@dataclass(frozen=True)
class Weigh(Stage):
    """Scale channels by named weights; a channel without one keeps weight 1.

    Shapes: [N, C] -> [N, C].  State: none.  Columns: none.
    Raises: ConfigError for a weight that is not a finite number; BatchError for one whose channel
    the batch does not have.

    Attributes:
        weights: a mapping or pairs of name and weight; held as a tuple of pairs, sorted by name.
    """

    weights: Weights = ()

    def __post_init__(self) -> None:
        pairs = self.weights.items() if isinstance(self.weights, Mapping) else self.weights
        named = {name: float(weight) for name, weight in pairs}
        for name, weight in named.items():
            if not math.isfinite(weight):
                raise ConfigError(f"the weight of reward {name!r} must be a finite number, got {weight}")
        object.__setattr__(self, "weights", tuple(sorted(named.items())))

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        named: dict[str, float] = dict(self.weights)
        for name in named:
            if name not in signal.channels:
                raise BatchError(
                    f"a weight names reward {name!r}; the batch has {signal.channels}" + nearest(name, signal.channels)
                )
        if not named:
            return signal.to()
        weights = signal.values.new_tensor([named.get(channel, 1.0) for channel in signal.channels])
        return signal.to(signal.values * weights, noise=signal.noise_in(batch.groups) * weights.abs())


@dataclass(frozen=True)
class Sum(Stage):
    """Add the channels up; a missing score counts as its group's mean for that channel.

        S[n] = sum_k x[n, k]      x[n, k] := mean_g(x[:, k]) where not scored

    So an abstaining reward favours nobody. On normalised channels, whose mean is 0, it adds
    nothing; a reward that scored nobody in the group adds 0. The mean is over all that were scored,
    also those dropped since: it is the baseline they were all measured from. (TRL adds 0 to a raw
    sum, which punishes a missing score where the others got more.) A rollout with no score at all
    stays NaN. A sum within the noise of its parts is 0: what cancels leaves no rounding error.

    Shapes: [N, C] -> [N, 1], channel "sum".  State: none.  Columns: none.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        missing = signal.values.isnan()
        mean = group_mean(signal.values, batch.groups, ~missing)
        noise = signal.noise_in(batch.groups).sum(1, keepdim=True)
        total = torch.where(missing, batch.groups.spread(mean), signal.values).sum(1, keepdim=True)
        total.masked_fill_(total.abs() <= batch.groups.spread(noise), 0)
        scored = signal.values.nan_to_num(nan=-torch.inf).amax(1, keepdim=True) > -torch.inf
        return signal.to(torch.where(scored, total, torch.nan), channels=("sum",), noise=noise)

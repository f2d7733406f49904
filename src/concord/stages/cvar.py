"""The worst of a group in place of its mean."""

from __future__ import annotations

from dataclasses import dataclass

from concord.core.errors import ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage
from concord.functional.quantiles import upper_quantile
from concord.functional.utility import mean_cvar_utility


@dataclass(frozen=True)
class GroupCvar(Stage):
    """Reshape each channel so that its mean in the group is the mean of the group's worst.

        r[n] <- b + min(r[n] - b, 0) / alpha,      b the group's alpha-quantile

    The group's mean of the new scores is CVaR_alpha of the old: the mean of the worst share ``alpha``. What lies
    above the quantile is all one to it.

    Shapes: [N, C] -> [N, C]; stands before the stage that compares rollouts.  Units: the reward's.  State: none.
    Columns: none.  Metrics: none.
    Raises: ConfigError unless 0 < alpha <= 1.
    Degenerate: unanimous groups stay as they are; ``alpha=1`` changes nothing. The quantile is one of the scores,
    r_(floor(alpha G) + 1), so with alpha < 1 / G it is the least of them, and the group falls silent.
    Source: arXiv:2501.13028, whose stock a group's quantile takes the place of.

    Attributes:
        alpha: the share of rollouts that is the tail.
    """

    alpha: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 1:
            raise ConfigError(f"alpha, the share of the worst, must be in (0, 1], got {self.alpha}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        groups = batch.groups
        live = groups.lay(signal.live) & groups.there[..., None]
        level = groups.spread(upper_quantile(groups.lay(signal.values), live, self.alpha))
        return signal.to(level + mean_cvar_utility(signal.values - level, self.alpha))

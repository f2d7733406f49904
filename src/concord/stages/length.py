"""Groups weighed by what length does for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.core.moments import group_mean, group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage
from concord.stages.score import beyond_threshold


@dataclass(frozen=True)
class LengthAdvantage(Stage):
    """Scale down the groups in which a longer response was of no advantage: ADORA's weight.

        right: score > threshold;   wrong: score <= threshold and length < max_length
        x[n] <- x[n] * 1        where the longest right response is longer than the wrong ones' mean length
        x[n] <- x[n] * factor   elsewhere

    The two published rules differ where one kind is absent:

        rule    no right response    no wrong response
        "llm"   factor               1
        "vlm"   1                    factor

    Shapes: [N, C] -> [N, C]; stands after the stage that compares rollouts, and reads the rewards as they were before
    it.  State: none.  Columns: ``lengths``.  Metrics: ``attenuated``, the share of groups scaled down.
    Raises: ConfigError for an unknown rule or a factor that is not at least 0; BatchError if the batch has no reward
    of that name.
    Degenerate: rollouts that were dropped or not scored are neither right nor wrong.
    Source: ADORA, arXiv:2602.10019; ShadeCloak/ADORA@c518485, "llm" from ``compute_grpo_outcome_advantage_ADORA``,
    "vlm" from ``weight_func``.

    Attributes:
        rule: see above.
        correct: the reward that says what is right; None = the sum of all.
        threshold: a score above it is right.
        max_length: responses of that many tokens were cut off, and are not evidence about failures.
        factor: what is left of a group where length is of no advantage.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    selects: ClassVar[bool] = True
    rule: Literal["llm", "vlm"] = "vlm"
    correct: str | None = None
    threshold: float = 0.5
    max_length: int = 4094
    factor: float = 0.1

    def __post_init__(self) -> None:
        if self.rule not in ("llm", "vlm"):
            raise ConfigError(f"rule must be 'llm' or 'vlm', got {self.rule!r}")
        if not self.factor >= 0:
            raise ConfigError(f"the factor must not be negative, got {self.factor}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        dtype, groups = signal.values.dtype, batch.groups
        above, lengths = beyond_threshold(batch, self.correct, self.threshold), batch.column("lengths").to(dtype)
        right = signal.keep & (above > 0)
        wrong = signal.keep & (above <= 0) & (lengths < self.max_length)
        longest = _longest(lengths, right, batch)
        mean = group_mean(lengths[:, None], groups, wrong[:, None])[:, 0]
        any_right, any_wrong = group_sum(torch.stack([right, wrong], 1).to(dtype), groups).T > 0
        full = any_right & (longest > mean)
        full = torch.where(any_wrong, full, any_right) if self.rule == "llm" else (full & any_wrong) | ~any_right
        weight = torch.where(full, torch.ones_like(mean), self.factor)
        return signal.to(
            signal.values * groups.spread(weight)[:, None], metrics={"attenuated": (~full).to(dtype).mean()}
        )


def _longest(lengths: Tensor, where: Tensor, batch: Rollouts) -> Tensor:
    """``[P]``; 0 where there is none."""
    block = batch.groups.lay(torch.where(where, lengths, 0))
    return torch.where(batch.groups.there, block, 0).amax(0)

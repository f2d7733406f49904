"""A reward for resembling the other correct rollouts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.contrastive import contrastive_bonus

CHANNEL = "contrastive"
"""The channel of the bonus where it has one of its own."""


@dataclass(frozen=True)
class AddContrastive(Stage):
    """Add CLIPO's bonus to the sum of the rewards, before any rollout is compared with another.

        r[n] <- r[n] + max(-scale * loss[n], floor)     for an anchor; no change elsewhere

    So of the correct rollouts of a group those rank higher that have more in common with the others.

    Shapes: [N, 1] -> [N, 1]; stands after ``Sum``.  Units: the reward's.  State: none.
    Columns: ``contrastive_loss`` (:class:`concord.learners.ContrastiveLearner`), NaN = no anchor.
    Metrics: ``bonus``, its mean over the anchors; ``floored``, the share of anchors whose bonus is the floor.
    Raises: ConfigError unless scale >= 0 and floor <= 0; BatchError where there are several channels.
    Degenerate: the floor takes hold at a loss of -floor / scale, 2.5 by default. Where all similarities are equal the
    loss is log(G - 1), which is 2.7 at G = 16: a head that has learnt nothing leaves every anchor at the floor.
    Source: arXiv:2603.10101, ``compute_contrastive_rewards`` in Qwen-Applications/CLIPO@13c5fd6.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"contrastive_loss"})
    scale: float = 0.2
    floor: float = -0.5

    def __post_init__(self) -> None:
        _check(self.scale, self.floor)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(
                f"the contrastive bonus is added to one channel, not to {signal.channels}; put it after Sum()"
            )
        bonus, metrics = _bonus(signal, batch, self.scale, self.floor)
        return signal.to(signal.values + torch.where(bonus.isnan(), 0, bonus)[:, None], metrics=metrics)


@dataclass(frozen=True)
class ContrastiveChannel(Stage):
    """Put CLIPO's bonus beside the rewards as one more, which scores the anchors and abstains elsewhere.

        r[n, "contrastive"] = max(-scale * loss[n], floor)     for an anchor; not scored elsewhere

    Not 0 elsewhere: the bonus is never positive, so 0 would make the incorrect rollouts this channel's best, and set it
    against correctness in every rollout.

    Shapes: [N, C] -> [N, C + 1]; stands before the stage that normalises each channel.  Units: none afterwards, so
    only the floor depends on ``scale`` there; a weight says what the channel counts for.  State: none.
    Columns: ``contrastive_loss`` (:class:`concord.learners.ContrastiveLearner`), NaN = no anchor.
    Metrics: as :class:`AddContrastive`.
    Raises: ConfigError unless scale >= 0 and floor <= 0; BatchError where a reward is named "contrastive".
    Source: Concord's own, after arXiv:2603.10101; its authors sum the rewards first (:class:`AddContrastive`).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"contrastive_loss"})
    scale: float = 0.2
    floor: float = -0.5

    def __post_init__(self) -> None:
        _check(self.scale, self.floor)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if CHANNEL in signal.channels:
            raise BatchError(
                f"a reward is named {CHANNEL!r}, as the channel of the contrastive bonus; rename the reward"
            )
        bonus, metrics = _bonus(signal, batch, self.scale, self.floor)
        values = torch.cat([signal.values, bonus[:, None]], 1)
        return signal.to(values, channels=(*signal.channels, CHANNEL), metrics=metrics)


def _check(scale: float, floor: float) -> None:
    if not (0 <= scale < math.inf and -math.inf < floor <= 0):
        raise ConfigError(f"need scale >= 0 and floor <= 0, both finite; got scale {scale}, floor {floor}")


def _bonus(signal: Signal, batch: Rollouts, scale: float, floor: float) -> tuple[Tensor, dict[str, Tensor]]:
    """``[N]``, NaN where a rollout is no anchor; and the metrics."""
    dtype = signal.values.dtype
    bonus = contrastive_bonus(batch.column("contrastive_loss").to(dtype), scale=scale, floor=floor)
    anchor = ~bonus.isnan()
    at_floor = (bonus <= floor).to(dtype)
    return bonus, {"bonus": masked_mean(bonus, anchor), "floored": masked_mean(at_floor, anchor)}

"""Which rollouts of a prompt are trained on, by their rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.filtration import Filter, filter_weights
from concord.stages.combine import Weigh, Weights
from concord.stages.score import score


@dataclass(frozen=True)
class FilterByRank(Stage):
    """Count a rollout as often as resampling by the rank of its reward would draw it.

        A[n] <- A[n] * N * w[n] / sum(w)        dropped where w[n] = 0

    w are the odds of :func:`concord.functional.filtration.filter_weights`, N the kept rollouts. A policy loss is
    linear in the size of the advantage, so this is the resampled batch's gradient in expectation, without the noise
    of the draw, and with the denominators of the batch as it was sampled.

    Shapes: [N, C] -> [N, C], and ``token_values`` where there are any.  State: none.  Columns: none.
    Metrics: ``dropped``, share of rollouts with w = 0; ``largest``, the largest multiplier.
    Degenerate: with no weight anywhere (``power``, all rewards 0) everything is dropped.
    Raises: ConfigError for an unknown rule, or a power that is not positive.
    Source: PF-PPO, arXiv:2409.06957.

    Attributes:
        rule: "best", "best_random", "best_worst" or "power".
        power: of the rule of that name.
        weights: of the rewards, whose weighted sum is ranked, whatever the signal has become by then.
    """

    selects: ClassVar[bool] = True
    rule: Filter = "best_worst"
    power: float = 2.0
    weights: Weights = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "weights", Weigh(self.weights).weights)
        if self.rule not in get_args(Filter):
            raise ConfigError(f"rule must be one of {', '.join(get_args(Filter))}, got {self.rule!r}")
        if not self.power > 0:
            raise ConfigError(f"power must be positive, got {self.power}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        total_reward = torch.where(signal.keep, score(batch, self.weights), 0)
        odds = filter_weights(total_reward, batch.groups, signal.keep, self.rule, power=self.power)
        total = odds.sum()
        copies = odds * signal.keep.sum() / torch.where(total > 0, total, 1)
        drop = signal.keep & (odds == 0)
        tokens = signal.token_values
        return signal.to(
            signal.values * copies[:, None],
            keep=signal.keep & ~drop,
            token_values=None if tokens is None else tokens * copies[:, None],
            metrics={"dropped": masked_mean(drop.to(copies.dtype), signal.keep), "largest": copies.max()},
        )


@dataclass(frozen=True)
class KeepExtremes(Stage):
    """Keep the best and the worst of each group; of equals the short ones are better.

        order by (score falling, length rising); keep the first q and the last q,  q = max(1, floor(share * G / 2))

    Shapes: [N, 1] -> [N, 1].  State: none.  Columns: ``lengths``.
    Metrics: ``dropped``, share dropped.
    Degenerate: a group of up to two is kept; rollouts alike in both stay in the order of the batch. G counts the
    kept rollouts.
    Raises: ConfigError unless 0 < share <= 1; BatchError where there are several channels.
    Source: Concord's own, after the sub-selection of ChatShopBuddy, arXiv:2603.06065, whose rule is not public.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"lengths"})
    selects: ClassVar[bool] = True
    share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ConfigError(f"share must be above 0 and at most 1, got {self.share}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(f"rollouts are ranked by one score, this signal has {signal.channels}; put it after Sum()")
        dtype = signal.values.dtype
        live = signal.live[:, 0]
        rank = self._rank(torch.where(live, signal.values[:, 0], -torch.inf), batch)
        count = batch.groups.spread(group_sum(live[:, None].double(), batch.groups))[:, 0]
        # The product of a share and a count may come out an ulp below the whole number that it is.
        ends = (self.share * count / 2 + 1e-9).floor().clamp(min=1)
        keep = live & ((rank < ends) | (rank >= count - ends))
        return signal.to(keep=keep, metrics={"dropped": masked_mean((~keep).to(dtype), signal.keep)})

    @staticmethod
    def _rank(score: Tensor, batch: Rollouts) -> Tensor:
        """``[N]``, 0 for the best of its group; padding stands last."""
        groups = batch.groups
        block = torch.where(groups.there, groups.lay(score), -torch.inf)
        short = groups.lay(batch.column("lengths")).argsort(dim=0, stable=True)
        good = block.gather(0, short).argsort(dim=0, descending=True, stable=True)
        # Padding has no score, like an unscored rollout, which may be ranked behind it: neither is kept.
        return groups.unlay(short.gather(0, good).argsort(dim=0))

"""Standardising over the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage
from concord.functional.whitening import whiten

Over = Literal["rollouts", "tokens"]


def _weights(signal: Signal, batch: Rollouts, over: Over) -> Tensor:
    """``[N, C]``: how often an entry counts; 0 where it does not."""
    live = signal.live.to(signal.values.dtype)
    by_tokens = over == "tokens" and "lengths" in batch.columns
    return live * batch.column("lengths").to(live.dtype)[:, None] if by_tokens else live


@dataclass(frozen=True)
class BatchNormalize(Stage):
    """Standardise each channel over all kept rollouts of the batch: a global baseline and scale.

        A = (x - mean) / std      statistics over rollouts, or over their tokens

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.
    Columns: ``lengths`` if over "tokens" (preferred).  Metrics: ``gain``, the mean multiplier.
    Degenerate: a batch whose values are all equal gives exactly 0.
    Source: REINFORCE++, Hu et al. 2025, arXiv:2501.03262.

    Attributes:
        over: "tokens" counts a rollout once for each of its tokens, which is what whitening a
            [N, T] advantage does (verl); "rollouts" counts it once (TRL). A batch without lengths is counted by
            rollouts, with a warning.
        eps: stabiliser: 1e-8 in verl, 1e-4 in TRL.
        eps_in_root: ``1 / sqrt(var + eps)`` as in verl, else ``1 / (std + eps)`` as in TRL.
    """

    over: Over = "rollouts"
    eps: float = 1e-4
    eps_in_root: bool = False

    @property
    def prefers(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"lengths"} if self.over == "tokens" else ())

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        white = whiten(
            signal.values,
            _weights(signal, batch, self.over),
            eps=self.eps,
            eps_in_root=self.eps_in_root,
            noise=signal.noise_in(batch.groups).amax(0),
        )
        return signal.to(white.values, metrics={"gain": white.gain.mean()})


@dataclass(frozen=True)
class Whiten(BatchNormalize):
    """Standardise a group-relative signal over the batch, leaving silent groups silent.

        A = (x - mean) / std, and 0 in a group whose values are all exactly 0

    GDPO's batch step. The mean of a group-relative signal is not 0 once tokens are counted or
    rollouts dropped; subtracting it gives a push to groups that said nothing. Here such groups
    count in the statistics, and stay at exactly 0. (The authors' code gives them -mean / std.)

    Shapes: [N, C] -> [N, C].  Units: none.  State: none.  Columns: ``lengths`` if over "tokens" (preferred).
    Metrics: ``gain``, the multiplier: with k of P groups informative it grows like sqrt(P / k), so
    whitening undoes "little signal, small step"; ``sign_flips``, the share of kept rollouts whose
    advantage changes sign because the mean is subtracted.
    Source: Liu et al. 2026, arXiv:2601.05242; over the kept rollouts only, arXiv:2606.16771 A.3.
    """

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        white = super().apply(signal, batch)
        live = signal.live
        told = ((signal.values != 0) & live).to(white.values.dtype)
        silent = batch.groups.spread(group_sum(told, batch.groups) == 0)
        values = torch.where(silent & live, 0, white.values)
        flipped = (values * signal.values < 0).any(1).to(values.dtype)
        return white.to(values, metrics={**white.metrics, "sign_flips": masked_mean(flipped, signal.keep)})

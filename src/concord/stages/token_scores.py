"""Tokens of bad responses that good responses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.core.moments import group_sum
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class SoftenSharedTokens(Stage):
    """Push the tokens of a bad response less where that would push the good ones down.

        limit_g = beta * min(mean_t(score[i]) : A[i] > 0)
        A[j, t] = A[j] * eta_g   where A[j] < 0 and score[j, t] > limit_g,   else A[j]
        eta_g = 2 * |0.5 - positive_g / (positive_g + negative_g)|

    ``positive_g`` and ``negative_g`` count the group's advantages above and below 0: with a reward of two values, the
    correct and the wrong responses.

    Shapes: [N, 1] -> [N, 1]; writes ``token_values`` [N, T], so it stands last.  State: none.
    Columns: ``token_scores`` [N, T], of :func:`concord.functional.token_scores.token_scores`; ``response_mask`` [N, T].
    Metrics: ``softened``, the share of the bad responses' tokens.
    Degenerate: a group without good responses, or without bad ones, is left alone; half and half has eta 0.
    Raises: ConfigError for a negative beta; BatchError for several channels, or columns of two widths.
    Source: NTHR, arXiv:2505.18830.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"token_scores", "response_mask"})
    beta: float = 1.0

    def __post_init__(self) -> None:
        if self.beta < 0:
            raise ConfigError(f"beta must not be negative, got {self.beta}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        if len(signal.channels) != 1:
            raise BatchError(f"tokens are told apart in one channel, this signal has {signal.channels}; add Sum()")
        scores, mask = batch.column("token_scores"), batch.column("response_mask")
        if scores.shape != mask.shape:
            raise BatchError(f"token_scores are {tuple(scores.shape)}, response_mask {tuple(mask.shape)}")
        A = torch.where(signal.live[:, 0], signal.values[:, 0], 0)
        good, bad = A > 0, A < 0
        limit, eta = self._limit(scores, mask, good, batch), self._eta(good, bad, batch, A.dtype)
        shared = bad[:, None] & mask & (scores > limit[:, None])
        tokens = torch.where(mask, A[:, None], 0) * torch.where(shared, eta[:, None], 1)
        softened = shared.sum() / (bad[:, None] & mask).sum().clamp(min=1)
        return signal.to(token_values=tokens, metrics={"softened": softened})

    def _limit(self, scores: Tensor, mask: Tensor, good: Tensor, batch: Rollouts) -> Tensor:
        """``[N]``, infinite where the group has no good response."""
        groups = batch.groups
        mean = torch.where(mask, scores, 0).sum(1) / mask.sum(1).clamp(min=1)
        least = torch.where(groups.lay(good) & groups.there, groups.lay(mean), torch.inf).amin(0)
        return groups.spread(torch.where(least.isinf(), torch.inf, self.beta * least))

    @staticmethod
    def _eta(good: Tensor, bad: Tensor, batch: Rollouts, dtype: torch.dtype) -> Tensor:
        counts = group_sum(torch.stack([good, bad], 1).to(dtype), batch.groups)
        return batch.groups.spread(2 * (0.5 - counts[:, 0] / counts.sum(1).clamp(min=1)).abs())

"""Tokens told apart by what they share with the good responses of their group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

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
    Degenerate: a group without good responses, or without bad ones, is left alone; half and half has eta 0. A good
    response without tokens has no mean score, and sets no limit.
    Raises: ConfigError for a negative beta; BatchError for several channels, or columns of two widths.
    Source: NTHR, arXiv:2505.18830.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"token_scores", "response_mask"})
    beta: float = 1.0

    def __post_init__(self) -> None:
        _check_beta(self.beta)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        A, scores, mask = _read(signal, batch)
        good, bad = A > 0, A < 0
        limit, counts = _limit(scores, mask, good, self.beta, batch), _counts(good, bad, batch).to(A.dtype)
        eta = batch.groups.spread(2 * (0.5 - counts[:, 0] / counts.sum(1).clamp(min=1)).abs())
        shared = bad[:, None] & mask & (scores > limit[:, None])
        tokens = torch.where(mask, A[:, None], 0) * torch.where(shared, eta[:, None], 1)
        softened = shared.sum() / (bad[:, None] & mask).sum().clamp(min=1)
        return signal.to(token_values=tokens, metrics={"softened": softened})


@dataclass(frozen=True)
class ReweightDominantTokens(Stage):
    """Train on the tokens that move the good responses most, and more on those that make them likelier, or less.

        THR[i, t] = sign(A[i]) * score[i, t]
        limit_g = beta * min(mean_t(score[i]) : A[i] > 0)
        A[i, t] = A[i] * (1 + p * sign(THR[i, t]))   where |THR[i, t]| > limit_g,   else 0

    THR is a token's hidden reward: above 0 where training on it makes the good responses of its group likelier. With
    p > 0 such tokens weigh more and the others less (exploitation), with p < 0 the other way round (exploration); with
    p = 0 all that are not silent weigh alike.

    Shapes: [N, 1] -> [N, 1]; writes ``token_values`` [N, T], so it stands last.  State: none.
    Columns: ``token_scores`` [N, T], of :func:`concord.functional.token_scores.token_scores`; ``response_mask`` [N, T].
    Metrics: ``dominant``, the share of tokens that train, and ``positive``, the share of these with THR above 0; over
    the responses with an advantage, in groups with good and bad ones.
    Degenerate: a group without good responses, or without bad ones, is left alone; a good response without tokens has
    no mean score and counts for none. A mean score may be negative, and with it the limit: then every token of the
    group trains, with weight 1 where THR is 0.
    Raises: ConfigError unless -1 <= p <= 1 and beta >= 0; BatchError for several channels, or columns of two widths.
    Source: THR, arXiv:2510.03669, in our reading of descriptions: the factor, and that the limit is NTHR's.

    Attributes:
        p: how much the sign of THR changes a token's weight.
        beta: scales the limit.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"token_scores", "response_mask"})
    p: float = 0.1
    beta: float = 1.0

    def __post_init__(self) -> None:
        if not -1 <= self.p <= 1:
            raise ConfigError(f"p must be in [-1, 1], got {self.p}: beyond it tokens would be pushed the wrong way")
        _check_beta(self.beta)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        A, scores, mask = _read(signal, batch)
        hidden_reward = A.sign()[:, None] * scores
        good, bad = (A > 0) & mask.any(1), A < 0
        limit = _limit(scores, mask, good, self.beta, batch)
        both = batch.groups.spread((_counts(good, bad, batch) > 0).all(1))
        dominant = hidden_reward.abs() > limit[:, None]
        weight = torch.where(dominant, 1 + self.p * hidden_reward.sign(), 0)
        tokens = torch.where(mask, A[:, None], 0) * torch.where(both[:, None], weight, 1)
        told = mask & (both & (A != 0))[:, None]
        trains = told & dominant
        metrics = {
            "dominant": trains.sum() / told.sum().clamp(min=1),
            "positive": (trains & (hidden_reward > 0)).sum() / trains.sum().clamp(min=1),
        }
        return signal.to(token_values=tokens, metrics=metrics)


class _Tokens(NamedTuple):
    """``A`` ``[N]``, 0 where there is none; ``scores`` and ``mask`` ``[N, T]``."""

    A: Tensor
    scores: Tensor
    mask: Tensor


def _read(signal: Signal, batch: Rollouts) -> _Tokens:
    if len(signal.channels) != 1:
        raise BatchError(f"tokens are told apart in one channel, this signal has {signal.channels}; add Sum()")
    scores, mask = batch.column("token_scores"), batch.column("response_mask")
    if scores.shape != mask.shape:
        raise BatchError(f"token_scores are {tuple(scores.shape)}, response_mask {tuple(mask.shape)}")
    A = torch.where(signal.live[:, 0], signal.values[:, 0], 0)
    return _Tokens(A, scores.to(A.dtype), mask)


def _limit(scores: Tensor, mask: Tensor, good: Tensor, beta: float, batch: Rollouts) -> Tensor:
    """``[N]``, infinite where the group has no good response with a token."""
    groups = batch.groups
    mean = torch.where(mask, scores, 0).sum(1) / mask.sum(1).clamp(min=1)
    told = good & mask.any(1)  # the mean over no token is none
    least = torch.where(groups.lay(told) & groups.there, groups.lay(mean), torch.inf).amin(0)
    return groups.spread(torch.where(least.isinf(), torch.inf, beta * least))


def _counts(good: Tensor, bad: Tensor, batch: Rollouts) -> Tensor:
    """``[P, 2]``: how many of a group's responses are good, and how many bad."""
    return group_sum(torch.stack([good, bad], 1).float(), batch.groups)


def _check_beta(beta: float) -> None:
    if not beta >= 0:
        raise ConfigError(f"beta must not be negative, got {beta}")

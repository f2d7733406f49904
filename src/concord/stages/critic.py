"""Advantages token by token, from the values of a critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage
from concord.functional.gae import at_last_token, gae
from concord.functional.whitening import whiten


def _one_channel(signal: Signal, stage: Stage) -> Tensor:
    """``[N]`` the score, 0 where there is none."""
    if len(signal.channels) != 1:
        raise BatchError(f"stage {stage.name!r} reads one score, this signal has {signal.channels}; put it after Sum()")
    return torch.where(signal.live[:, 0], signal.values[:, 0], 0)


def _mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """``[N, 1]``: over a response's tokens."""
    return torch.where(mask, tokens, 0).sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class PlaceTurnRewards(Stage):
    """Pay each turn where it ends, in place of the whole score at the end.

        r[n, t] = turn_rewards[n, t] / parts[n]
        parts[n] = the number of turn rewards above 0, if score[n] > 0;  ``most`` otherwise;  at least 1

    So a trajectory that succeeds earns 1 in all where its turns earn 1 each, and one that fails the share it got to.
    The score itself is not added.

    Shapes: [N, 1] -> [N, 1], ``token_values`` [N, T] for :class:`Gae`.  Units: the turn reward's.  State: none.
    Columns: ``turn_rewards`` [N, T], what the environment paid, at the turn's last sampled token; 0 elsewhere. What is
    missing (NaN, infinite) pays nothing.
    Raises: ConfigError unless most >= 1; BatchError where there are several channels.
    Source: the dense placement of arXiv:2510.01132, pearls-lab/meow-tea-taro@a9c248c (agentic_verified.py), whose
    code drops turns that end beyond the width of the prompt.

    Attributes:
        most: turn rewards that the environment can pay in one trajectory.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"turn_rewards"})
    most: int = 1

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ConfigError(f"most must be at least 1, got {self.most}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        score = _one_channel(signal, self)
        paid = batch.column("turn_rewards").to(score.dtype)
        paid = torch.where(paid.isfinite(), paid, 0)
        parts = torch.where(score > 0, (paid > 0).sum(1), self.most).clamp(min=1)
        return signal.to(token_values=paid / parts[:, None])


@dataclass(frozen=True)
class Gae(Stage):
    """Generalized advantage estimation: what each token added to what the critic expected.

        delta[t] = r[t] + gamma * V[t'] - V[t],   A[t] = delta[t] + gamma * lam * A[t']    t' the next sampled token

    The reward r is the score at the last sampled token, or what a stage before has placed along the response.
    :func:`concord.functional.gae.gae` says what holes in the mask do.

    Shapes: [N, 1] -> [N, 1], the mean over a response's tokens; ``token_values`` [N, T].  Units: the reward's.
    State: none.  Columns: ``values`` and ``response_mask``, [N, T].
    Writes: ``returns`` [N, T], what the critic is trained towards (:func:`concord.functional.gae.value_loss`).
    Metrics: ``explained``, 1 - var(returns - values) / var(returns) over the kept rollouts' tokens: 1 for a perfect
    critic, 0 for a constant one.
    Degenerate: the critic, not the group, is the baseline, so a unanimous group has something to say.
    Raises: ConfigError unless gamma and lam are in [0, 1]; BatchError for several channels, or columns of two widths.
    Source: arXiv:1506.02438.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"values", "response_mask"})
    writes: ClassVar[frozenset[str]] = frozenset({"returns"})
    gamma: float = 1.0
    lam: float = 0.95

    def __post_init__(self) -> None:
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1):
            raise ConfigError(f"gamma and lam must be in [0, 1], got {self.gamma} and {self.lam}")

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        score = _one_channel(signal, self)
        values, mask = batch.column("values").to(score.dtype), batch.column("response_mask").bool()
        rewards = at_last_token(score, mask) if signal.token_values is None else signal.token_values
        advantages, returns = gae(rewards, values, mask, gamma=self.gamma, lam=self.lam)
        counts = mask & signal.keep[:, None]
        left, all_ = _variance(advantages, counts), _variance(returns, counts)
        explained = torch.where(all_ > 0, 1 - left / torch.where(all_ > 0, all_, 1), 0)
        told = signal.to(_mean(advantages, mask), token_values=advantages, metrics={"explained": explained})
        return told.with_columns(returns=returns)


def _variance(x: Tensor, where: Tensor) -> Tensor:
    count = where.sum().clamp(min=1)
    mean = torch.where(where, x, 0).sum() / count
    return torch.where(where, x - mean, 0).square().sum() / count


@dataclass(frozen=True)
class WhitenTokens(Stage):
    """Standardise token advantages over the tokens of all kept rollouts.

        A = (A - mean) / sqrt(var + 1e-8)

    Shapes: [N, 1] -> [N, 1], the mean over a response's tokens; ``token_values`` [N, T] -> [N, T].  Units: none.
    State: none.  Columns: ``response_mask`` [N, T].  Metrics: ``gain``, the multiplier.
    Degenerate: a batch whose tokens are all alike gives exactly 0.
    Raises: BatchError where no stage before has told tokens apart.
    Source: verl and TRL (``masked_whiten``).
    """

    needs: ClassVar[frozenset[str]] = frozenset({"response_mask"})

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        tokens, mask = signal.token_values, batch.column("response_mask").bool()
        if tokens is None:
            raise BatchError(f"stage {self.name!r} needs token advantages; put it after Gae()")
        counts = (mask & signal.keep[:, None]).to(tokens.dtype)
        white = whiten(tokens.reshape(-1, 1), counts.reshape(-1, 1), eps=1e-8, eps_in_root=True)
        tokens = torch.where(counts > 0, white.values.view_as(tokens), 0)
        return signal.to(_mean(tokens, mask), token_values=tokens, metrics={"gain": white.gain[0]})

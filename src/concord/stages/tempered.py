"""Correct responses pulled towards the policy at another temperature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import BatchError, ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal, masked_mean
from concord.core.stage import Stage, State
from concord.stages.score import beyond_threshold

BOUND = 20.0
"""|log ratio| is clamped here before exp, as in the losses' ratios."""


@dataclass(frozen=True)
class TemperedTarget(Stage):
    """Hold the policy's entropy near a target: push correct responses by how likely another temperature has them.

        d = min(|target - H|, cap),      H the entropy of the step before, 0 at first
        f = share of correct rollouts,   a = (d / f) / (1 + d / f) = d / (d + f)
        A[n, t] = (1 - a) A[n] + a * correct[n] * exp(tempered_logp[n, t] - old_logp[n, t])

    The second scoring pass is at temperature ``hot`` while H <= target, and at ``cold`` above it:
    :meth:`temperature` of the state says which, before the step. H is estimated as minus the mean of ``old_logp`` over
    response tokens.

    Shapes: [N, 1] -> [N, 1], the mean over a response's tokens, and ``token_values`` [N, T].  Units: none.
    State: H, in nats; 0 before the first step.
    Columns: ``old_logp`` and ``tempered_logp``, ``[N, T]``, of the policy that sampled, at temperature 1 and at the
    other; ``response_mask``.
    Metrics: ``share``, a; ``entropy``, this step's estimate; ``next_temperature``, of the next step's second pass.
    Raises: ConfigError unless 0 < cold <= hot, target >= 0 and cap >= 0; BatchError where there are several channels,
    or no reward of that name.
    Degenerate: with no correct rollout a is 1, its limit, and the step is silent (the authors' code gives NaN); at
    H = target a is 0 and this is the chain without the stage. A token of which a score is missing has no bonus.
    Source: DCPO, arXiv:2601.12730; 597358816/DCPO@33f8073, ``verl/trainer/ray_trainer.py``. The authors measure H on
    the updates themselves, and do not bound the exponent (here +-20).

    Attributes:
        target: the entropy to hold, in nats.
        cap: the largest d.
        hot, cold: the temperatures of the second pass.
        correct: the reward that says what is correct; None = the sum of all.
        threshold: a score above it is correct.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"old_logp", "tempered_logp", "response_mask"})
    target: float = 0.5
    cap: float = 0.1
    hot: float = 1.2
    cold: float = 0.8
    correct: str | None = None
    threshold: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.cold <= self.hot:
            raise ConfigError(f"need 0 < cold <= hot, got {self.cold} and {self.hot}")
        if not (self.target >= 0 and self.cap >= 0):
            raise ConfigError(f"target and cap must not be negative, got {self.target} and {self.cap}")

    def init(self) -> State:
        """Entropy 0, so that the first step is at the hot temperature."""
        return 0.0

    def temperature(self, state: State) -> float:
        """Of the second scoring pass of the step that begins with this state.

        Example:
            >>> stage = TemperedTarget()
            >>> stage.temperature(stage.init()), stage.temperature(0.7)
            (1.2, 0.8)
        """
        return self.hot if float(state) <= self.target else self.cold

    def step(self, signal: Signal, batch: Rollouts, state: State) -> tuple[Signal, State]:
        if len(signal.channels) != 1:
            raise BatchError(f"there is one advantage to add to, not {signal.channels}; put TemperedTarget after Sum()")
        values, mask = signal.values, batch.column("response_mask").bool()
        old, tempered = (batch.column(name).to(values.dtype) for name in ("old_logp", "tempered_logp"))
        before = torch.as_tensor(state, dtype=values.dtype, device=values.device)
        correct = signal.keep & (beyond_threshold(batch, self.correct, self.threshold) > 0)
        distance = (self.target - before).abs().clamp(max=self.cap)
        share = distance / (distance + masked_mean(correct.to(values.dtype), signal.keep)).clamp(min=1e-12)

        change = tempered - old
        scored = mask & change.isfinite()
        likelier = torch.where(scored, change, 0).clamp(-BOUND, BOUND).exp() * scored
        bonus = share * correct[:, None] * likelier
        mean = bonus.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        base = (1 - share) * values
        tokens = torch.where(mask & signal.live, base + bonus, 0)

        told = mask & old.isfinite() & signal.keep[:, None]
        entropy = torch.where(told.any(), -masked_mean(old, told), before)
        metrics = {
            "share": share,
            "entropy": entropy,
            "next_temperature": torch.where(entropy <= self.target, self.hot, self.cold),
        }
        return signal.to(base + mean, token_values=tokens, metrics=metrics), entropy

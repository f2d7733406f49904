"""Pairs of responses whose log-probabilities should be as far apart as their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from concord.core.errors import BatchError, ConfigError
from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.objective import PolicyLoss
from concord.objectives.penalty import Penalty
from concord.objectives.whole_groups import WholeGroups, peers, penalised, per_response


@dataclass(frozen=True)
class ContrastivePairs(WholeGroups):
    """The squared gap, over all pairs of a group, between the rewards and what the policy makes of them.

        u[i] = sum_t (logp - ref_logp),   x[i] = A[i] - beta * u[i]
        loss_g = sum_{i < j} (x[i] - x[j])^2 / (2 * beta * (k - 1)),   loss = sum_g loss_g / sequences

    k responses of the group are in the batch. Only differences of advantages enter, so a baseline changes nothing.
    The gradient is ``-(x[i] - mean of the others' x)`` times that of the response's log-probability: RLOO with the KL
    penalty inside the reward, though no importance weight stands in it, whoever sampled the responses. It is 0 in every
    group of the policy proportional to ``ref * exp(reward / beta)``, and of no other.

    A group of one has loss 0.

    Metrics: ``squared_gap``, the mean squared distance of x from its group's mean; ``drift``, the mean of u.
    Raises: ConfigError unless beta > 0; BatchError without groups or ``ref_logp``.
    Source: CoPG, arXiv:2406.19185.
    """

    needs_reference: ClassVar[bool] = True
    beta: float
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"beta must be positive, got {self.beta}: without it the loss has no minimum")

    def __call__(self, batch: PolicyBatch, totals: Totals | None = None) -> PolicyLoss:
        """The loss of one micro-batch of whole groups; ``totals`` are the step's, its own if None."""
        if batch.ref_logp is None:
            raise BatchError("the contrastive loss needs ref_logp in the PolicyBatch")
        totals = Totals.of(batch.mask) if totals is None else totals
        together = peers(batch).to(batch.logp.dtype)
        drift = torch.where(batch.mask, batch.logp - batch.ref_logp, 0).sum(1)
        x = batch.advantages.detach().to(drift.dtype) - self.beta * drift
        k = together.sum(1)
        away = x - together @ x / k
        # sum_{i < j} (x[i] - x[j])^2 is k times the sum of squares about the mean.
        each = away.square() * k / (k - 1).clamp(min=1) / (2 * self.beta)
        loss = per_response(torch.where(k > 1, each, 0), totals)
        with torch.no_grad():
            count = k.new_tensor(len(k))
            metrics = {"squared_gap": Mean(away.square().sum(), count), "drift": Mean(drift.sum(), count)}
        return PolicyLoss(penalised(loss, self.penalties, batch, totals), metrics)

    @property
    def every_row(self) -> bool:
        """Yes: also a response of average reward is drawn to the reference."""
        return True

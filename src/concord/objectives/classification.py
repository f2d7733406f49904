"""A group as a classification: likelier than before, or less likely."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.objective import PolicyLoss
from concord.objectives.penalty import Penalty
from concord.objectives.whole_groups import WholeGroups, peers, penalised, per_response


@dataclass(frozen=True)
class GroupClassification(WholeGroups):
    """The sign of the advantage is a response's label, its change in log-probability the score.

        s[i] = mean_t(logp - old_logp)
        loss_g = log(1 + sum_{A[i] > 0} exp(-s[i] / tau)) + log(1 + sum_{A[j] < 0} exp(s[j] / tau))
        loss = sum_i loss_g(i) / sequences

    Each response carries its group's loss, so a group weighs by its size; where all have one size it is the mean over
    groups. There is no clip: no response's weight in the gradient is above ``1 / tau``, and it fades as the score goes
    where the label points. A group without both labels has loss 0. An advantage of 0 is no label.

    Metrics: ``labelled``, the share of responses in groups with both labels; ``score``, the mean of s.
    Raises: ConfigError unless tau > 0; BatchError without groups.
    Source: REAL, arXiv:2602.05630.
    """

    tau: float = 0.5
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        if not self.tau > 0:
            raise ConfigError(f"tau must be positive, got {self.tau}")

    def __call__(self, batch: PolicyBatch, totals: Totals | None = None) -> PolicyLoss:
        """The loss of one micro-batch of whole groups; ``totals`` are the step's, its own if None."""
        totals = Totals.of(batch.mask) if totals is None else totals
        together = peers(batch)
        score = torch.where(batch.mask, batch.logp - batch.old_logp, 0).sum(1) / batch.mask.sum(1).clamp(min=1)
        better, worse = together & (batch.advantages > 0), together & (batch.advantages < 0)
        both = better.any(1) & worse.any(1)
        each = _log_one_plus_sum(-score / self.tau, better) + _log_one_plus_sum(score / self.tau, worse)
        loss = per_response(torch.where(both, each, 0), totals)
        with torch.no_grad():
            count = torch.ones_like(score).sum()
            metrics = {"labelled": Mean(both.sum(), count), "score": Mean(score.sum(), count)}
        return PolicyLoss(penalised(loss, self.penalties, batch, totals), metrics)


def _log_one_plus_sum(x: Tensor, where: Tensor) -> Tensor:
    """``log(1 + sum_j exp(x[j]))`` over those that a row points at: ``[B], [B, B] -> [B]``."""
    terms = torch.where(where, x, -torch.inf)
    return torch.cat([terms, torch.zeros_like(terms[:, :1])], 1).logsumexp(1)

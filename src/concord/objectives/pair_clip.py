"""Pairs of responses, clipped together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from concord.core.errors import ConfigError
from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.objective import PolicyLoss
from concord.objectives.penalty import Penalty
from concord.objectives.ratio import BOUND
from concord.objectives.whole_groups import WholeGroups, peers, penalised, per_response


@dataclass(frozen=True)
class JointPairClip(WholeGroups):
    """The policy gradient over all pairs of a group; a pair pushes until its better response is far enough ahead.

        u[i] = sum_t (logp - old_logp),   rho[i] = exp(u[i])
        d = (A[i] - A[j]) / 2,   ahead = sign(d) * (u[i] - u[j])
        pair[i, j] = -sg(rho[i] * rho[j]) * |d| * min(ahead, log(1 + clip)),   sg = no gradient
        loss = sum_i mean(pair[i, j] : j in group(i), j != i) / sequences

    Only differences of advantages enter, so a baseline changes nothing. The clip is on the pair's ratios together:
    where the better one's is more than ``1 + clip`` times the other's the pair's gradient is 0, wherever either of them
    stands by itself. Where the worse one is ahead nothing is clipped. Inside the bound the gradient is that of
    ``-d * log(rho[i] / rho[j])``, weighed by how much likelier the pair is now than when it was sampled: averaged over
    pairs of the sampling policy it is the policy gradient.

    On policy the loss is 0, and its gradient RLOO's. A group of one, or whose advantages are all equal, has loss 0.
    The weights are not clipped, each ratio is bounded by e^20 only: a pair that became much likelier with the worse one
    ahead can dominate a step, and ``max_grad_norm`` is what holds it. A response without tokens would be half of its
    pairs: leave it out of the batch, as Concord's engines do.

    Metrics: ``clipped``, the share of the pairs of unequal advantages; ``ahead``, the mean over these, in nats.
    Raises: ConfigError unless clip > 0; BatchError without groups.
    Source: P3O, V2, arXiv:2310.00212, in our reading: the paper's expression is not in the sources at hand.
    """

    clip: float = 0.2
    penalties: tuple[Penalty, ...] = ()

    def __post_init__(self) -> None:
        if not self.clip > 0:
            raise ConfigError(f"clip must be positive, got {self.clip}")

    def __call__(self, batch: PolicyBatch, totals: Totals | None = None) -> PolicyLoss:
        """The loss of one micro-batch of whole groups; ``totals`` are the step's, its own if None."""
        totals = Totals.of(batch.mask) if totals is None else totals
        together = peers(batch)
        u = torch.where(batch.mask, batch.logp - batch.old_logp, 0).sum(1)
        rho = u.detach().clamp(-BOUND, BOUND).exp()
        A = batch.advantages.detach().to(u.dtype)
        d = torch.where(together, A[:, None] - A, 0) / 2
        ahead, bound = d.sign() * (u[:, None] - u), math.log1p(self.clip)
        pair = -rho[:, None] * rho * d.abs() * ahead.clamp(max=bound)
        loss = per_response(pair.sum(1) / (together.sum(1) - 1).clamp(min=1), totals)
        with torch.no_grad():
            unequal = (d != 0).sum()
            metrics = {"clipped": Mean((ahead > bound).sum(), unequal), "ahead": Mean(ahead.sum(), unequal)}
        return PolicyLoss(penalised(loss, self.penalties, batch, totals), metrics)

    @property
    def every_row(self) -> bool:
        """Yes: also a response of average reward is half of a pair."""
        return True

"""Policy losses as records of slots."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import torch

from concord.objectives.batch import Mean, PolicyBatch, Statistic, Totals
from concord.objectives.objective import PolicyLoss
from concord.objectives.penalty import Penalty
from concord.objectives.ratio import Ratio, TokenRatio
from concord.objectives.reduce import Reduce, SequenceMean
from concord.objectives.surrogate import Clip, Surrogate


@dataclass(frozen=True)
class PolicyObjective:
    """A policy loss: ratio, surrogate, reduction, penalties.

        loss = reduce(weights * surrogate(ratio, A) + sum(penalties))

    A chain is for steps whose order is the meaning; a loss has fixed joints, so it is a record:
    each slot has its own type, and a wrong part does not fit.

    Attributes:
        ratio: per token or per response.
        surrogate: the clip, or what stands in its place.
        reduce: how tokens and responses are averaged.
        penalties: added per token, each with its own coefficient.

    Example:
        >>> import torch
        >>> logp = torch.tensor([[-1.0, -1.0]], requires_grad=True)
        >>> batch = PolicyBatch(logp, logp.detach(), torch.tensor([2.0]), torch.tensor([[True, True]]))
        >>> loss, _ = PolicyObjective()(batch)
        >>> loss.backward()
        >>> loss.item(), logp.grad.tolist()
        (-2.0, [[-1.0, -1.0]])
    """

    ratio: Ratio = field(default_factory=TokenRatio)
    surrogate: Surrogate = field(default_factory=Clip)
    reduce: Reduce = field(default_factory=SequenceMean)
    penalties: tuple[Penalty, ...] = ()

    def __call__(self, batch: PolicyBatch, totals: Totals | None = None) -> PolicyLoss:
        """The loss of one micro-batch.

        Args:
            batch: the micro-batch.
            totals: the whole step's denominators; this micro-batch's own if None.

        Metrics: ``clipped``, share of tokens whose surrogate was clipped; ``ratio``, mean ratio; ``ratio_variance``,
        mean of (ratio - 1)^2.
        """
        totals = Totals.of(batch.mask) if totals is None else totals
        advantages = batch.advantages.detach()
        advantages = advantages[:, None] if advantages.ndim == 1 else advantages
        ratio = self.ratio(batch)
        loss, clipped = self.surrogate(ratio, advantages, batch)
        if batch.weights is not None:
            loss = loss * batch.weights
        loss = loss.expand_as(batch.logp)
        for penalty in self.penalties:
            loss = loss + penalty(batch)
        with torch.no_grad():
            tokens = batch.mask.sum()
            metrics = {
                "clipped": Mean((batch.mask & clipped).sum(), tokens),
                "ratio": Mean(torch.where(batch.mask, ratio, 0).sum(), tokens),
                "ratio_variance": Mean(torch.where(batch.mask, ratio - 1, 0).square().sum(), tokens),
            }
        return PolicyLoss(self.reduce(loss, batch.mask, totals), metrics)

    @property
    def reads(self) -> frozenset[str]:
        """The columns that surrogate and penalties read."""
        return frozenset().union(*(getattr(part, "reads", ()) for part in self._parts))

    @property
    def statistics(self) -> frozenset[Statistic]:
        """What surrogate and penalties read of the policy's distribution."""
        return frozenset().union(*(getattr(part, "statistics", ()) for part in self._parts))

    @property
    def _parts(self) -> tuple[Surrogate | Penalty, ...]:
        return (self.surrogate, *self.penalties)

    @property
    def whole_groups(self) -> bool:
        """No: every rollout stands for itself."""
        return False

    @property
    def every_row(self) -> bool:
        """Whether a penalty, or the surrogate, acts where the advantage is 0."""
        return bool(self.penalties) or getattr(self.surrogate, "every_row", False)

    @property
    def needs_reference(self) -> bool:
        """Whether a penalty reads the reference policy."""
        return any(penalty.needs_reference for penalty in self.penalties)

    def with_penalty(self, penalty: Penalty) -> PolicyObjective:
        """The same objective with one more penalty."""
        return dataclasses.replace(self, penalties=(*self.penalties, penalty))

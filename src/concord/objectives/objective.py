"""What every policy loss offers an engine."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from torch import Tensor

from concord.objectives.batch import Mean, PolicyBatch, Statistic, Totals
from concord.objectives.penalty import Penalty


class PolicyLoss(NamedTuple):
    """The scalar to minimise, and what was measured on the way."""

    loss: Tensor
    metrics: dict[str, Mean]


class Objective(Protocol):
    """A policy loss: micro-batches in, scalars out that add up to the loss of the step."""

    @property
    def reads(self) -> frozenset[str]:
        """The columns of the outcome that it reads in ``PolicyBatch.columns``."""
        ...

    @property
    def statistics(self) -> frozenset[Statistic]:
        """What it reads of the policy's distribution at each token beside the sampled token's log-probability."""
        ...

    @property
    def whole_groups(self) -> bool:
        """Whether a micro-batch must hold whole groups, and say which in ``PolicyBatch.groups``."""
        ...

    @property
    def every_row(self) -> bool:
        """Whether a kept rollout with advantage 0 has a gradient too."""
        ...

    @property
    def needs_reference(self) -> bool:
        """Whether it reads the reference policy."""
        ...

    def __call__(self, batch: PolicyBatch, totals: Totals | None = None) -> PolicyLoss: ...

    def with_penalty(self, penalty: Penalty) -> Objective:
        """The same objective with one more penalty."""
        ...

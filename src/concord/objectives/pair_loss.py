"""From the scores of two responses to the loss of the pair."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from concord.core.errors import ConfigError
from concord.objectives.label import DynamicLabel, FixedLabel, Label
from concord.objectives.pairs import PairBatch


@dataclass(frozen=True)
class PairLoss:
    """Scores ``[B]`` of the chosen and the rejected responses to a loss ``[B]``; override :meth:`__call__`.

    Raises: ConfigError unless beta > 0.
    """

    reads_rejected: ClassVar[bool] = True
    """Whether the rejected response plays a part."""

    beta: float

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"beta must be positive, got {self.beta}")

    @property
    def reads(self) -> frozenset[str]:
        """The columns that it reads."""
        return frozenset()

    def __call__(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        """The loss of each pair: ``[B]``."""
        raise NotImplementedError(f"{type(self).__name__} does not override __call__")

    def relabel(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor | None:
        """The labels at the next visit, ``[B]``; None where none are remembered."""
        return None


@dataclass(frozen=True)
class Logistic(PairLoss):
    """Cross-entropy of the label and the probability that the scores give it.

        m = beta * (chosen - rejected),   loss = -label * log sigmoid(m) - (1 - label) * log sigmoid(-m)

    The gradient by m is sigmoid(m) - label. A pair whose label is NaN has loss 0 and stays in the mean's denominator.
    Source: DPO, arXiv:2305.18290 eq. 7.
    """

    label: Label = field(default_factory=FixedLabel)

    @property
    def reads(self) -> frozenset[str]:
        """Those that the label reads."""
        return self.label.reads

    def __call__(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        margin, label = self.beta * (chosen - rejected), self.label(batch)
        known = ~label.isnan()
        label = torch.where(known, label, 1)  # a NaN in the unused branch would spread through the gradient
        return torch.where(known, -label * logsigmoid(margin) - (1 - label) * logsigmoid(-margin), 0)

    def relabel(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor | None:
        """The dynamic labels, moved towards the policy."""
        if not isinstance(self.label, DynamicLabel):
            return None
        return self.label.after(batch, self.beta * (chosen - rejected))


@dataclass(frozen=True)
class SquaredMargin(PairLoss):
    """``(chosen - rejected - 1 / (2 beta))^2``: a margin to reach and not to exceed.

    It has no label: a pair is as sure as it stands. Source: IPO, arXiv:2310.12036 eq. 17.
    """

    def __call__(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        return (chosen - rejected - 1 / (2 * self.beta)).square()

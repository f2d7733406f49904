"""Losses over demonstrations: the chosen response is imitated, a rejected one plays no part.

Supervised fine-tuning as imitation by an f-divergence between demonstrator and policy, with the KL to the reference
kept. With r = beta * (score of the demonstration), the loss of one is f*(-r), where f* is the convex conjugate of f
over x >= 0. At r = 0 each has the gradient of ordinary fine-tuning, -1. Source: the construction of arXiv:2507.00018;
the closed forms are derived here, and not compared with the paper's table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from concord.objectives.pair_loss import PairLoss
from concord.objectives.pairs import PairBatch

_HELLINGER_FLOOR = -0.5
"""Below it the loss goes on along its tangent: f* is infinite from r = -1 on, where a policy may well come by."""


@dataclass(frozen=True)
class Demonstration(PairLoss):
    """What the losses over demonstrations have in common."""

    reads_rejected: ClassVar[bool] = False

    def __call__(self, chosen: Tensor, rejected: Tensor, batch: PairBatch) -> Tensor:
        return self.of(self.beta * chosen)

    def of(self, r: Tensor) -> Tensor:
        """``f*(-r)``: ``[B]``."""
        raise NotImplementedError(f"{type(self).__name__} does not override of")


@dataclass(frozen=True)
class TotalVariation(Demonstration):
    """``-r``: ordinary fine-tuning, up to a constant.

    (f* is infinite for |r| > 1/2; there the loss goes on as it was, or it would not be fine-tuning.)
    """

    def of(self, r: Tensor) -> Tensor:
        """``f*(-r)``: ``[B]``."""
        return -r


@dataclass(frozen=True)
class ChiSquared(Demonstration):
    """Pearson's: ``-r + r^2 / 4`` up to r = 2, and -1, without gradient, beyond it.

    The gradient is -(1 - r / 2): a demonstration counts the less, the further the policy has risen above the reference.

    Example:
        >>> import torch
        >>> ChiSquared(1.0).of(torch.tensor([0.0, 1.0, 2.0, 5.0]))
        tensor([ 0.0000, -0.7500, -1.0000, -1.0000])
    """

    def of(self, r: Tensor) -> Tensor:
        """``f*(-r)``: ``[B]``."""
        r = r.clamp(max=2)
        return r.square() / 4 - r


@dataclass(frozen=True)
class Hellinger(Demonstration):
    """Squared: ``-r / (1 + r)`` from r = -1/2 on, and its tangent ``-1 - 4 r`` below.

    Example:
        >>> import torch
        >>> Hellinger(1.0).of(torch.tensor([-1.0, -0.5, 0.0, 1.0]))
        tensor([ 3.0000,  1.0000, -0.0000, -0.5000])
    """

    def of(self, r: Tensor) -> Tensor:
        """``f*(-r)``: ``[B]``."""
        above = r.clamp(min=_HELLINGER_FLOOR)
        return -above / (1 + above) - 4 * (r - above)

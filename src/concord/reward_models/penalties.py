"""What is added to the Bradley-Terry loss against a bias."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from concord.functional.correlation import pearson
from concord.learners.probe import Probe
from concord.reward_models.batch import PairBatch


class Penalty(ABC):
    """A number about a batch of pairs that is to be small.

    Args:
        name: its metrics are logged under it.
        weight: its factor in the loss.
        probe: what it learns with, if it learns; checkpoints hold its state.

    Metrics: ``<name>/<measure>``, and what :meth:`fit` returns.
    """

    measure: ClassVar[str]

    def __init__(self, name: str, weight: float, probe: Probe | None = None) -> None:
        self.name = name
        self.weight = weight
        self.probe = probe

    @abstractmethod
    def value(self, pairs: PairBatch) -> Tensor:
        """The penalty before its weight, ``[]``, with a gradient to states or margins."""

    def fit(self, pairs: PairBatch) -> dict[str, Tensor]:
        """Learn from detached pairs what :meth:`value` needs; the metrics of that."""
        return {}


class Information(Penalty):
    """DIR: the mutual information of a pair's states and its bias label.

        I = mean_i log q(b_i | x_i) - mean_ij log q(b_j | x_i),      x = h_chosen - h_rejected

    with q fitted first, and then held still; see :class:`concord.learners.probe.Probe`. Pairs without a label take no
    part. If all labels are equal it is exactly 0.

    Metrics: ``<name>/information`` in nats, ``<name>/probe_loss``.
    Source: arXiv:2512.23461.
    """

    measure = "information"

    probe: Probe

    def value(self, pairs: PairBatch) -> Tensor:
        return self.probe.information(pairs.states, pairs.labels[self.name])

    def fit(self, pairs: PairBatch) -> dict[str, Tensor]:
        return {"probe_loss": self.probe.fit(pairs.states, pairs.labels[self.name])}


class LinearCorrelation(Penalty):
    """The squared correlation, over pairs, of the margin of rewards and the difference of lengths.

        pearson(r_chosen - r_rejected, l_chosen - l_rejected)^2

    The linear method to compare DIR with: it sees no dependence that leaves the correlation at 0.

    Metrics: ``correlation/squared``.
    """

    measure = "squared"

    def __init__(self, weight: float) -> None:
        super().__init__("correlation", weight)

    def value(self, pairs: PairBatch) -> Tensor:
        return pearson(pairs.margins.float(), pairs.lengths.float()).square()

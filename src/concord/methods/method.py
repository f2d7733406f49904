"""A method: what a paper publishes, as parts."""

from __future__ import annotations

from dataclasses import dataclass

from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.learners import LearnerSpec
from concord.objectives import Objective


@dataclass(frozen=True)
class Method:
    """A published method: how rewards become advantages, and the loss that they enter.

    Attributes:
        signal: the chain from rewards to advantages.
        objective: the policy loss.
        count_dropped: whether rollouts that the chain drops stay in the loss's denominators.
            GD2PO: yes, in paper and code. With False, dropping some makes the others count more.
        learner: what trains beside the policy and writes columns that the chain reads; None = nothing does.
    """

    signal: Chain
    objective: Objective
    count_dropped: bool = True
    learner: LearnerSpec | None = None

    def __post_init__(self) -> None:
        if absent := sorted(self.objective.reads - self.signal.writes):
            raise ConfigError(f"the loss reads columns {absent}, which no stage of the chain writes")

    @property
    def needs(self) -> frozenset[str]:
        """The batch columns that an engine must supply: those that the chain reads, or the learner in its place."""
        if self.learner is None:
            return self.signal.needs
        return (self.signal.needs - self.learner.writes) | self.learner.reads

    @property
    def needs_further(self) -> tuple[str, ...]:
        """What it needs of an engine that is no column, in words."""
        objective = self.objective
        found = {
            "a reference policy": objective.needs_reference,
            "micro-batches of whole groups": objective.whole_groups,
            "the policy's entropy at each token": "entropy" in objective.statistics,
            "the policy's mean log-probability over the vocabulary at each token": "mean_logp" in objective.statistics,
            "a learner beside the policy": self.learner is not None,
        }
        return tuple(what for what, needed in found.items() if needed)

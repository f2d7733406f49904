"""A method, and the card that says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from concord.core.chain import Chain
from concord.learners import LearnerSpec
from concord.objectives import PolicyObjective


@dataclass(frozen=True)
class Card:
    """Where a method comes from, and how far it was checked.

    Attributes:
        title: the paper's.
        arxiv: its id.
        formula: the advantage in one line of plain text.
        code: the reference implementation, "owner/repository@commit".
        certainty: "high" if read in the authors' code or paper, else "low".
        parity: what the numbers were compared with, and how closely; empty = with nothing outside.
    """

    title: str
    arxiv: str
    formula: str
    code: str = ""
    certainty: Literal["high", "low"] = "high"
    parity: str = ""


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
    objective: PolicyObjective
    count_dropped: bool = True
    learner: LearnerSpec | None = None

    @property
    def needs(self) -> frozenset[str]:
        """The batch columns that an engine must supply: those that the chain reads, or the learner in its place."""
        if self.learner is None:
            return self.signal.needs
        return (self.signal.needs - self.learner.writes) | self.learner.reads

"""A method, and the card that says where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from concord.core.chain import Chain
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
    """

    signal: Chain
    objective: PolicyObjective
    count_dropped: bool = True

    @property
    def needs(self) -> frozenset[str]:
        """The batch columns that the method reads."""
        return self.signal.needs

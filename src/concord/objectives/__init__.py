"""Policy losses: ratio x surrogate x reduction, and penalties."""

from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.objective import Objective, PolicyLoss
from concord.objectives.penalty import Kl, Penalty
from concord.objectives.policy import PolicyObjective
from concord.objectives.ratio import SequenceRatio, TokenRatio, WholeSequenceRatio
from concord.objectives.reduce import FixedLength, SequenceMean, TokenMean
from concord.objectives.surrogate import Clip, Surrogate

__all__ = [
    "Clip",
    "FixedLength",
    "Kl",
    "Mean",
    "Objective",
    "Penalty",
    "PolicyBatch",
    "PolicyLoss",
    "PolicyObjective",
    "SequenceMean",
    "SequenceRatio",
    "Surrogate",
    "TokenMean",
    "TokenRatio",
    "Totals",
    "WholeSequenceRatio",
]

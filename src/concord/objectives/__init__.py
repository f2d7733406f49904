"""Policy losses: ratio x surrogate x reduction, and penalties."""

from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.penalty import Kl
from concord.objectives.policy import PolicyLoss, PolicyObjective
from concord.objectives.ratio import SequenceRatio, TokenRatio, WholeSequenceRatio
from concord.objectives.reduce import FixedLength, SequenceMean, TokenMean
from concord.objectives.surrogate import Clip

__all__ = [
    "Clip",
    "FixedLength",
    "Kl",
    "Mean",
    "PolicyBatch",
    "PolicyLoss",
    "PolicyObjective",
    "SequenceMean",
    "SequenceRatio",
    "TokenMean",
    "TokenRatio",
    "Totals",
    "WholeSequenceRatio",
]

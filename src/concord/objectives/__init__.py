"""Losses as records of slots: the policy's (ratio x surrogate x reduction, and penalties), those of pairs."""

from concord.objectives.batch import Mean, PolicyBatch, Totals
from concord.objectives.blended_clip import BlendedClip
from concord.objectives.classification import GroupClassification
from concord.objectives.contrastive import ContrastivePairs
from concord.objectives.demonstration import ChiSquared, Hellinger, TotalVariation
from concord.objectives.exploration import EntropyBonus, ForwardKl
from concord.objectives.hybrid import EntropyHybridClip, HybridClip
from concord.objectives.label import DynamicLabel, FixedLabel, Label, TeacherLabel
from concord.objectives.mixed import MixedPolicy
from concord.objectives.objective import Objective, PolicyLoss
from concord.objectives.pair_clip import JointPairClip
from concord.objectives.pair_loss import Logistic, PairLoss, SquaredMargin
from concord.objectives.pairs import PairBatch, Responses
from concord.objectives.penalty import Kl, Penalty
from concord.objectives.policy import PolicyObjective
from concord.objectives.preference import PreferenceLoss, PreferenceObjective
from concord.objectives.ratio import SequenceRatio, SequenceTokenRatio, TokenRatio, WholeSequenceRatio
from concord.objectives.reduce import FixedLength, SequenceMean, TokenMean
from concord.objectives.regression import RatioRegression
from concord.objectives.score import LogRatio, MeanLogRatio, Score, WeightedLogp
from concord.objectives.sft import ChosenMeanNll, ChosenNll, ChosenTokenNll
from concord.objectives.surrogate import Clip, Surrogate
from concord.objectives.trust_region import PricedVariance, RatioVariance
from concord.objectives.unclipped import Unclipped
from concord.objectives.valuation import RandomPolicyValue

__all__ = [
    "BlendedClip",
    "ChiSquared",
    "ChosenMeanNll",
    "ChosenNll",
    "ChosenTokenNll",
    "Clip",
    "ContrastivePairs",
    "DynamicLabel",
    "EntropyBonus",
    "EntropyHybridClip",
    "FixedLabel",
    "FixedLength",
    "ForwardKl",
    "GroupClassification",
    "Hellinger",
    "HybridClip",
    "JointPairClip",
    "Kl",
    "Label",
    "LogRatio",
    "Logistic",
    "Mean",
    "MeanLogRatio",
    "MixedPolicy",
    "Objective",
    "PairBatch",
    "PairLoss",
    "Penalty",
    "PolicyBatch",
    "PolicyLoss",
    "PolicyObjective",
    "PreferenceLoss",
    "PreferenceObjective",
    "PricedVariance",
    "RandomPolicyValue",
    "RatioRegression",
    "RatioVariance",
    "Responses",
    "Score",
    "SequenceMean",
    "SequenceRatio",
    "SequenceTokenRatio",
    "SquaredMargin",
    "Surrogate",
    "TeacherLabel",
    "TokenMean",
    "TokenRatio",
    "TotalVariation",
    "Totals",
    "Unclipped",
    "WeightedLogp",
    "WholeSequenceRatio",
]

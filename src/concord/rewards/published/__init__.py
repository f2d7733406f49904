"""Rewards that papers published, each a function that builds one; what they need, such as a judge, is handed in."""

from concord.rewards.published.grace import Similarity, grace
from concord.rewards.published.mpo import EvolvingRubric, mpo
from concord.rewards.published.oni import CountedLabels, oni
from concord.rewards.published.polar import Layout, ReferenceReward, polar
from concord.rewards.published.subpo import MarginalGain, subpo
from concord.rewards.published.urpo import UnifiedReward, urpo
from concord.rewards.published.verify_rm import VerifierReward, verifier_input, verify_rm

__all__ = [
    "CountedLabels",
    "EvolvingRubric",
    "Layout",
    "MarginalGain",
    "ReferenceReward",
    "Similarity",
    "UnifiedReward",
    "VerifierReward",
    "grace",
    "mpo",
    "oni",
    "polar",
    "subpo",
    "urpo",
    "verifier_input",
    "verify_rm",
]

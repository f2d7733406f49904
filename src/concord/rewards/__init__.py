"""Reward functions: named, weighted, and checked before their scores become a gradient."""

from concord.rewards.named import NamedReward, check_distinct, load
from concord.rewards.scores import CheckedReward, checked, read_scores

__all__ = ["CheckedReward", "NamedReward", "check_distinct", "checked", "load", "read_scores"]

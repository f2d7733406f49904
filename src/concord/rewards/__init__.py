"""Rewards: functions in any framework's form, servers and models; named, weighed, gated, and never lost."""

from concord.rewards.batch import RewardBatch
from concord.rewards.gate import Gate, Gates
from concord.rewards.judge import judge
from concord.rewards.judging import LLMJudge
from concord.rewards.model import RewardModel
from concord.rewards.named import NamedReward, check_distinct, load
from concord.rewards.pairwise import AgainstReference, WinRate
from concord.rewards.reward_set import RewardSet
from concord.rewards.runners.http import HttpReward
from concord.rewards.schedule import Cosine, Linear, Schedule, Steps
from concord.rewards.scores import Scored
from concord.rewards.source import Limits, Source, find

__all__ = [
    "AgainstReference",
    "Cosine",
    "Gate",
    "Gates",
    "HttpReward",
    "LLMJudge",
    "Limits",
    "Linear",
    "NamedReward",
    "RewardBatch",
    "RewardModel",
    "RewardSet",
    "Schedule",
    "Scored",
    "Source",
    "Steps",
    "WinRate",
    "check_distinct",
    "find",
    "judge",
    "load",
]

"""Which rollouts are made, and which are used again: plain values between the data and an engine."""

from concord.strategies.cooper import OnlineRewardModel, cooper
from concord.strategies.curriculum import Curriculum, curriculum, measured
from concord.strategies.ghpo import Hints, Rollout, ghpo
from concord.strategies.herl import Replacement, Revisions, herl, revision_prompt
from concord.strategies.pairs import Pair, right_and_wrong
from concord.strategies.replay import Replay, replay
from concord.strategies.spark import Item, Recycler, Solved, spark

__all__ = [
    "Curriculum",
    "Hints",
    "Item",
    "OnlineRewardModel",
    "Pair",
    "Recycler",
    "Replacement",
    "Replay",
    "Revisions",
    "Rollout",
    "Solved",
    "cooper",
    "curriculum",
    "ghpo",
    "herl",
    "measured",
    "replay",
    "revision_prompt",
    "right_and_wrong",
    "spark",
]

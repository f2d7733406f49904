"""Runners: making calls that a slow, hanging or dying reward function cannot stop."""

from concord.rewards.runners.answer import RemoteError
from concord.rewards.runners.http import HttpReward
from concord.rewards.runners.inline import Inline
from concord.rewards.runners.pool import Pool
from concord.rewards.runners.target import Loadable, Target

__all__ = ["HttpReward", "Inline", "Loadable", "Pool", "RemoteError", "Target"]

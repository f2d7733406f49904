"""Concord: train language models with several rewards at once, and see where the rewards conflict.

>>> import torch, concord
>>> rewards = torch.tensor([[1.0, 0.2], [0.0, 0.9], [1.0, 0.9], [0.0, 0.2]])
>>> batch = concord.Rollouts(rewards, concord.Groups.uniform(1, 4), ("correct", "short"))
>>> outcome = concord.create("gd2po", numerics="trl").signal(batch)
>>> outcome.keep.tolist()  # the first two rollouts are good on one reward and bad on the other
[False, False, True, True]
"""

from concord.core import Chain, Groups, Outcome, Rollouts, Signal, Stage
from concord.core.errors import ConcordError
from concord.methods import Card, Method, advantages, create, info, names, register

__version__ = "0.1.0"

__all__ = [
    "Card",
    "Chain",
    "ConcordError",
    "Groups",
    "Method",
    "Outcome",
    "Rollouts",
    "Signal",
    "Stage",
    "__version__",
    "advantages",
    "create",
    "info",
    "names",
    "register",
]

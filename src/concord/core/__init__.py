"""The batch, the signal, the stage and the chain: the words that everything else is said in."""

from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome, Signal
from concord.core.stage import Stage

__all__ = ["Chain", "Groups", "Outcome", "Rollouts", "Signal", "Stage"]

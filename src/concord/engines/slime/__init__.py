"""Concord in slime and miles: see :mod:`concord.engines.slime.hook`."""

from concord.engines.slime.hook import post_process_rewards

__all__ = ["post_process_rewards"]

"""The same run on another engine: the command and the files for it."""

from concord.run.launch.plan import Launch, plan

__all__ = ["Launch", "plan"]

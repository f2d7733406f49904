"""Rollouts on disk."""

from concord.dumps.writer import write

__all__ = ["write"]

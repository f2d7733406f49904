"""Rollouts on disk: reading other frameworks' dumps and our own, and writing ours."""

from concord.dumps.read import Dump, open_dump
from concord.dumps.rows import GroupRows
from concord.dumps.writer import write

__all__ = ["Dump", "GroupRows", "open_dump", "write"]

"""What Concord costs, and what it saves: programs that do the same work, in turn, in one process on one thread.

Only ratios within a table mean something: the machine's speed changes, and meets all of them alike.
"""

from __future__ import annotations

from concord.bench.speed.signal import signal_table
from concord.bench.speed.table import SpeedTable
from concord.bench.speed.trainer import trainer_table
from concord.bench.speed.update import update_table

__all__ = ["SpeedTable", "signal_table", "trainer_table", "update_table"]

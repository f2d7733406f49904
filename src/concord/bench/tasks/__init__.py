"""The tasks that ship, each a different kind of conflict."""

from __future__ import annotations

from concord.bench.tasks.bandit import BANDIT
from concord.bench.tasks.safety import SAFETY
from concord.bench.tasks.task import Prompt, Reward, Task
from concord.bench.tasks.tools import HACKABLE, NOISY, TOOLS2, TOOLS3

__all__ = ["TASKS", "Prompt", "Reward", "Task"]

TASKS: dict[str, Task] = {task.name: task for task in (TOOLS2, TOOLS3, SAFETY, NOISY, HACKABLE, BANDIT)}

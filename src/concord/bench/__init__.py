"""The benchmark: methods on tasks whose rewards conflict, over many seeds, compared honestly.

Small policies, real reinforcement learning, runs of seconds to a minute on one core. See ``docs/bench.md``.
"""

from __future__ import annotations

from concord.bench.controls import CONTROLS
from concord.bench.named import method_of, task_of
from concord.bench.runner import Run, RunFailed, jobs, run_all, write_parquet
from concord.bench.summary import Row, Summary, TaskSummary, as_data, summarise
from concord.bench.tasks import TASKS, Task
from concord.bench.trial import Job, run

__all__ = [
    "CONTROLS",
    "TASKS",
    "Job",
    "Row",
    "Run",
    "RunFailed",
    "Summary",
    "Task",
    "TaskSummary",
    "as_data",
    "jobs",
    "method_of",
    "run",
    "run_all",
    "summarise",
    "task_of",
    "write_parquet",
]

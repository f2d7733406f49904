"""What one sees while a run trains: a progress bar, and a table that grows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from transformers import TrainerCallback

SHARES = {
    "conflict": "concord/conflict/mixed",
    "cancelled": "concord/conflict/cancelled",
    "kept": "concord/kept",
}
"""Columns of the table, and the metric behind each: the share of rollouts that one reward pushes up
and another down, the share of the signal that cancels, the share of rollouts that trains."""

ROWS = 10


def reward_metric(name: str) -> str:
    """The name under which TRL logs a reward's mean."""
    return f"rewards/{name}/mean"


def known(values: Iterable[float | None]) -> list[float]:
    """Those that are numbers: TRL logs None or NaN where nothing was measured."""
    return [value for value in values if value is not None and not math.isnan(value)]


class LiveTable(TrainerCallback):  # type: ignore[misc]
    """A callback that shows a run's course: every tenth of it becomes a row of means.

    Args:
        rewards: names of the rewards, a column each.
        console: where to draw. On a terminal the table grows in place; elsewhere it is printed once, at the end.
    """

    def __init__(self, rewards: Sequence[str], console: Console) -> None:
        self._columns = {**{name: reward_metric(name) for name in rewards}, **SHARES}
        self._rows: list[tuple[str, list[float]]] = []
        self._recent: list[Mapping[str, float]] = []
        self._progress = Progress(
            TextColumn("step"), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), console=console
        )
        self._live = Live(console=console, refresh_per_second=4)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._task = self._progress.add_task("train", total=state.max_steps, completed=state.global_step)
            self._every = max(1, state.max_steps // ROWS)
            self._live.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._progress.update(self._task, completed=state.global_step)
            self._live.update(self._picture())

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if not state.is_world_process_zero or not logs or "reward" not in logs:
            return
        self._recent.append(logs)
        if state.global_step % self._every == 0 or state.global_step == state.max_steps:
            first = state.global_step - len(self._recent) + 1
            self._rows.append((f"{first}-{state.global_step}", self._means()))
            self._recent = []
            self._live.update(self._picture())

    def stop(self) -> None:
        """Give the terminal back, also where training was broken off; the table stays."""
        if self._live.is_started:
            self._live.update(self._table())
            self._live.stop()
            if not self._live.console.is_terminal:  # where the table is printed without an end of line
                self._live.console.line()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self.stop()

    def _means(self) -> list[float]:
        means = []
        for metric in self._columns.values():
            values = known(logs.get(metric) for logs in self._recent)
            means.append(sum(values) / len(values) if values else math.nan)
        return means

    def _table(self) -> Table:
        table = Table("steps", *self._columns, box=None, padding=(0, 2, 0, 0))
        for label, means in self._rows:
            table.add_row(label, *(f"{mean:.3f}" if not math.isnan(mean) else "-" for mean in means))
        return table

    def _picture(self) -> Group:
        return Group(self._table(), self._progress)

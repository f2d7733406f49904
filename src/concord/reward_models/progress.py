"""What one sees while a reward model trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback


class Bar(TrainerCallback):  # type: ignore[misc]
    """A progress bar with the loss and accuracy last logged.

    Args:
        title: before the bar.
        console: where it is drawn; it goes when training ends.
    """

    def __init__(self, title: str, console: Console) -> None:
        now = TextColumn("{task.fields[now]}")
        columns = (TextColumn(title), MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), now)
        self._progress = Progress(*columns, console=console, transient=True)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._task = self._progress.add_task("train", total=state.max_steps, completed=state.global_step, now="")
            self._progress.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.is_world_process_zero:
            self._progress.update(self._task, completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        if state.is_world_process_zero and logs and {"loss", "accuracy"} <= logs.keys():
            self._progress.update(self._task, now=f"loss {logs['loss']:.3f}, accuracy {logs['accuracy']:.2f}")

    def stop(self) -> None:
        """Give the terminal back, also where training was broken off."""
        self._progress.stop()

"""The comparison on a terminal: a table a task."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from concord.bench.speed.table import SpeedTable
from concord.bench.summary import Row, Summary, TaskSummary

_STYLES = {"better": "green", "worse": "red", "same": "cyan", "open": "dim", "baseline": "bold"}

LEGEND = (
    "AUC: mean over the steps of the mean of rewards scaled to [0, 1]; diff: from the baseline, seed by seed, with its "
    "95 % interval; wins: seeds above it; joint: share of rollouts good in every reward; ktok: thousand tokens through "
    "forward and backward; equal: diff while the same number of them was spent"
)


def show(summary: Summary, console: Console) -> None:
    """Print every task's table."""
    for task in summary.tasks:
        mixed = next(row.mixed for row in task.rows if row.method == summary.baseline)
        console.print(f"\n[bold]{escape(task.task)}[/]  {escape(task.about)}", soft_wrap=True)
        console.print(
            f"[dim]{summary.seeds} seeds; starts at {task.start:.3f}, best {task.best:.3f} "
            f"({escape(task.best_known)}); mixed signs in {mixed:.0%} of {escape(summary.baseline)}'s rollouts[/]",
            soft_wrap=True,
        )
        console.print(_table(task))
    if len(summary.tasks) > 1:
        console.print(f"\n[bold]all {len(summary.tasks)} tasks[/]  differences meaned over the tasks of one seed")
        console.print(_overall(summary))
    console.print(f"\n[dim]{LEGEND}[/]", soft_wrap=True)


def _blank(heads: Sequence[str]) -> Table:
    table = Table("method", *heads, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.columns[0].overflow = "fold"
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    return table


def _overall(summary: Summary) -> Table:
    heads = ("AUC", "diff", "95 %", "wins", "p", "p Holm", "tokens")
    table = _blank(heads)
    for row in summary.overall:
        low, high = row.interval
        interval = "-" if math.isnan(low) else f"{low:+.3f} {high:+.3f}"
        versus = (f"{row.difference:+.3f}", interval, f"{row.wins}/{row.n}", f"{row.p:.4f}", f"{row.p_holm:.4f}")
        itself = row.method == summary.baseline
        table.add_row(escape(row.method), f"{row.auc:.3f}", *(("",) * 5 if itself else versus), f"{row.tokens:.0%}")
    return table


def _table(task: TaskSummary) -> Table:
    heads = ("AUC", "diff", "95 %", "wins", "verdict", "joint", "kept", "ktok", "equal")
    table = _blank(heads)
    for row in task.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    verdict = row.verdict()
    itself = verdict == "baseline"
    low, high = row.difference_interval
    interval = "-" if math.isnan(low) else f"{low:+.3f} {high:+.3f}"
    versus = ("", "", "") if itself else (f"{row.difference:+.3f}", interval, f"{row.wins}/{row.n}")
    return [
        escape(row.method),
        f"{row.auc:.3f}",
        *versus,
        f"[{_STYLES[verdict]}]{verdict}[/]",
        f"{row.success:.2f}",
        f"{row.kept:.2f}",
        f"{row.update_tokens / 1e3:.0f}",
        "" if itself else f"{row.at_budget_difference:+.3f}",
    ]


def show_speed(speed: SpeedTable, console: Console) -> None:
    """Print a table of times."""
    console.print(f"\n[bold]{escape(speed.title)}[/]", soft_wrap=True)
    table = Table("", *speed.columns, box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for name, cells in speed.rows.items():
        table.add_row(escape(name), *cells)
    console.print(table)
    if speed.note:
        console.print(f"[dim]{escape(speed.note)}[/]", soft_wrap=True)

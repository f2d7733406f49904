"""What evaluations of several sets found, as a table: means, over seeds with their standard deviation."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from concord.run.config import OVERALL, PublishedConfig
from concord.run.evaluate import Evaluation
from concord.run.evaluations import Found


def evaluation_table(name: str, runs: Mapping[str, Sequence[Found]], published: PublishedConfig | None = None) -> Table:
    """A block for each reward, a row for each policy or method in it, a column for each set.

    Args:
        name: of the evaluation.
        runs: by label what each of its runs found; more than one gives mean ± standard deviation (n - 1).
        published: others' figures by label, shown below each.
    """
    first = next(iter(runs.values()))[0]
    sets = sorted(first, key=lambda label: label != OVERALL)  # overall first
    headings = [f"{escape(label)} ({first[label].rows})" for label in sets]
    source = "" if published is None else f"published: {escape(published.source)}"
    table = Table(f"[bold]{escape(name)}[/]", *headings, box=None, caption=source or None, caption_justify="left")
    for column in table.columns:
        column.justify = "left" if column is table.columns[0] else "right"
    for reward in [*first[sets[0]].rewards, *_ALSO]:
        table.add_row(f"[bold]{escape(reward)}[/]")
        for label, found in runs.items():
            table.add_row(f"  {escape(label)}", *(_cell([_value(run[part], reward) for run in found]) for part in sets))
            theirs = published.figures.get(label, {}).get(reward) if published else None
            if theirs:
                table.add_row("    published", *(_shown(theirs[part]) if part in theirs else "" for part in sets))
    return table


_ALSO = {"response tokens": "length", "unfinished": "unfinished"}
"""What is shown beside the rewards, and the attribute of :class:`Evaluation` that has it."""


def _value(found: Evaluation, reward: str) -> float:
    value: float = getattr(found, _ALSO[reward]) if reward in _ALSO else found.rewards[reward]
    return value


def _cell(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    if len(values) == 1 or mean != mean:
        return _shown(mean)
    digits = _digits(mean)
    return f"{mean:.{digits}f} ± {statistics.stdev(values):.{digits}f}"


def _shown(value: float) -> str:
    return "-" if value != value else f"{value:.{_digits(value)}f}"


def _digits(value: float) -> int:
    return 2 if abs(value) >= 10 else 3

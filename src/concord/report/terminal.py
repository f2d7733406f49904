"""The analysis on a terminal: what happened, in a screenful."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from concord.core.printable import printable
from concord.report.analysis import Analysis, Finding
from concord.report.rules.rule import percent

STYLES = {"serious": "bold red", "warning": "yellow", "info": "dim"}

SHOWN_TAUS = (0.2, 0.4, 0.5, 0.6, 0.8)
"""The rows of the sweep that fit a screen; GDPO is tau = 0, GD2PO-hard tau = 1. JSON and page have all."""

SHOWN_PAIRS = 10

LEGEND = (
    "early, late: first and last third of the steps; std: within groups; dead: groups it does not tell apart; "
    "of |A|: its share of the advantage; net: its part in what is left after cancelling"
)


def show(analysis: Analysis, console: Console) -> None:
    """Print the verdict, the rewards, their conflicts, the sweep, a learner, and what to know of the data."""
    for sentence in analysis.verdict:
        console.print(Text(printable(sentence)), soft_wrap=True)
    console.print()
    console.print(_rewards(analysis))
    console.print(f"[dim]{LEGEND}[/]", soft_wrap=True)
    if len(analysis.rewards) > 1:
        console.print()
        console.print(_pairs(analysis))
    console.print()
    console.print(_sweep(analysis))
    console.print()
    if analysis.learner:
        console.print(_learner(analysis))
        console.print()
    for finding in analysis.findings:
        if f"{finding.message}." not in analysis.verdict:
            console.print(_finding(finding), soft_wrap=True)
    console.print()
    for note in notes(analysis):
        console.print(Text(printable(note), "dim"), soft_wrap=True)


def notes(analysis: Analysis) -> list[str]:
    """What the reader took the files for, had to guess, missed and left out."""
    quality = analysis.quality
    skipped = [f"skipped {count}: {reason}" for reason, count in quality.skipped.items()]
    return [f"read as {quality.format}", *quality.inferred, *quality.missing, *skipped]


def compare(analyses: Mapping[str, Analysis], console: Console) -> None:
    """Print several runs side by side, by their headline numbers and the means of their rewards."""
    table = _table("", *map(printable, analyses))
    for name in Analysis.NUMBERS:
        values = [analysis.to_dict()[name] for analysis in analyses.values()]
        table.add_row(name.replace("_", " "), *("-" if value is None else f"{value:.4g}" for value in values))
    every = dict.fromkeys(reward.name for analysis in analyses.values() for reward in analysis.rewards)
    for name in every:
        means = [{reward.name: reward.mean for reward in analysis.rewards}.get(name) for analysis in analyses.values()]
        table.add_row(f"mean of {escape(printable(name))}", *map(_number, means))
    console.print(table)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column(escape(first))
    for name in others:
        table.add_column(escape(name), justify="right")
    return table


def _rewards(analysis: Analysis) -> Table:
    table = _table("reward", "weight", "mean", "early", "late", "std", "dead", "of |A|", "net", "verdict")
    for reward in analysis.rewards:
        table.add_row(
            escape(printable(reward.name)),
            f"{reward.weight:g}",
            _number(reward.mean),
            "-" if reward.trend is None else _number(reward.trend.first),
            "-" if reward.trend is None else _number(reward.trend.last),
            _number(reward.within_group_std),
            _share(reward.dead_group_share),
            _share(reward.share_of_advantage),
            _share(reward.effective_weight),
            reward.verdict,
        )
    return table


def _pairs(analysis: Analysis) -> Table:
    table = _table("conflict", "opposed in", "by chance", "r in group", "r raw", "signs")
    for pair in analysis.conflict.pairs[:SHOWN_PAIRS]:
        table.add_row(
            escape(printable(f"{pair.first} / {pair.second}")),
            _share(pair.opposed_groups),
            _share(pair.opposed_by_chance),
            _number(pair.correlation.value, "+.2f"),
            _number(pair.raw, "+.2f"),
            _number(pair.signs, "+.2f"),
        )
    if analysis.conflict.pairs[SHOWN_PAIRS:]:
        table.add_row(f"[dim]{len(analysis.conflict.pairs) - SHOWN_PAIRS} more[/]")
    return table


def _sweep(analysis: Analysis) -> Table:
    table = _table("method", "kept", "emptied", "query weight", "cancels still", "r with GDPO", "r with dump")
    swept = [row for row in analysis.sweep if row.tau in SHOWN_TAUS]
    for selection in (*(row for row in analysis.methods if row.method != "gd2po"), *swept):
        table.add_row(
            selection.method if selection.tau is None else f"{selection.method} tau={selection.tau:g}",
            _share(selection.kept),
            _share(selection.groups_emptied),
            _number(selection.query_weight, ".2f"),
            _share(selection.cancelled_share),
            _number(selection.correlation_with_gdpo, ".2f"),
            _number(selection.correlation_with_dump, ".2f"),
        )
    return table


def _learner(analysis: Analysis) -> Table:
    table = _table("learner", "mean", "early", "late")
    for metric in analysis.learner:
        table.add_row(
            escape(printable(metric.name)),
            _number(metric.mean),
            *(("-", "-") if metric.trend is None else (_number(metric.trend.first), _number(metric.trend.last))),
        )
    return table


def _finding(finding: Finding) -> Text:
    style = STYLES[finding.severity]
    return Text.assemble((f"{finding.severity:8s}", style), printable(finding.message))


def _share(value: float) -> str:
    return "-" if math.isnan(value) else percent(value)


def _number(value: float | None, form: str = ".3g") -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)

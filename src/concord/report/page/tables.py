"""The tables of the page: what a reader sees, and what its CSV and JSON hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Literal

from concord.report.analysis import Analysis
from concord.report.records import Histogram, Query, Selection

Kind = Literal["name", "text", "long", "count", "number", "share", "signed", "tau", "error"]
Value = str | float | None


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: its heading, and its name in the downloads.
        kind: how its values are written; "name" heads the row, "long" is text that is folded,
            "share" is in [0, 1] and written in per cent, "signed" is a correlation.
        hint: what it is, in words.
    """

    title: str
    kind: Kind
    hint: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under columns.

    Attributes:
        name: the downloads' file name.
        columns, rows: as long as each other.
    """

    name: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]

    def decimals(self) -> tuple[int | None, ...]:
        """By column, the decimals that three digits of its largest number need, so that numbers stand in line.

        None where one count of decimals does not suit all: whole numbers, or sizes too far apart.
        """
        return tuple(_decimals([row[i] for row in self.rows]) for i in range(len(self.columns)))


def _decimals(values: Iterable[Value]) -> int | None:
    sizes = [abs(v) for v in values if isinstance(v, int | float) and math.isfinite(v) and v]
    if not sizes or all(size == round(size) for size in sizes):
        return None
    decimals = min(max(2 - math.floor(math.log10(max(sizes))), 2), 4)
    return decimals if max(sizes) < 1000 and min(sizes) >= 10**-decimals else None


def table(name: str, columns: Iterable[Column], rows: Iterable[Iterable[Value]]) -> Table:
    """A table from whatever can be iterated."""
    return Table(name, tuple(columns), tuple(tuple(row) for row in rows))


def rewards(analysis: Analysis) -> Table:
    """One row a reward, every number there is."""
    columns = (
        Column("reward", "name"),
        Column("verdict", "text"),
        Column("weight", "number"),
        Column("mean", "number"),
        Column("std", "number", "over all rollouts"),
        Column("lowest", "number"),
        Column("highest", "number"),
        Column("at lowest", "share", "share of scores at exactly the lowest value seen"),
        Column("at highest", "share", "share of scores at exactly the highest value seen"),
        Column("within-group std", "number", "mean over groups"),
        Column("dead groups", "share", "groups in which it does not vary"),
        Column("share of |A|", "share", "its share of the standardised signal, as in GDPO"),
        Column("share of raw sum", "share", "its share where raw rewards are summed first, as in GRPO"),
        Column("effective weight", "share", "its part in where the advantage ends up; below 0 it is overruled"),
        Column("r with length", "signed", "mean over groups"),
        Column("first third", "number", "mean over the first third of the steps"),
        Column("last third", "number", "mean over the last third of the steps"),
        Column("saturated since step", "count"),
    )
    rows = (
        (
            *(reward.name, reward.verdict, reward.weight, reward.mean, reward.std, reward.low, reward.high),
            *(reward.at_low, reward.at_high, reward.within_group_std, reward.dead_group_share),
            *(reward.share_of_advantage, reward.share_of_raw_sum, reward.effective_weight),
            reward.length_correlation.value,
            *((reward.trend.first, reward.trend.last) if reward.trend else (None, None)),
            reward.saturated_since,
        )
        for reward in analysis.rewards
    )
    return table("rewards", columns, rows)


def complete(analysis: Analysis) -> bool:
    """Whether every reward scored every rollout."""
    return all(reward.statuses.get("scored") == 1 for reward in analysis.rewards)


def statuses(analysis: Analysis) -> Table:
    """One row a reward: what became of its calls."""
    names = list(dict.fromkeys(status for reward in analysis.rewards for status in reward.statuses))
    columns = (Column("reward", "name"), *(Column(name, "share") for name in names))
    return table("statuses", columns, ((r.name, *(r.statuses.get(s, 0.0) for s in names)) for r in analysis.rewards))


def pairs(analysis: Analysis) -> Table:
    """One row for every two rewards, the most opposed first."""
    columns = (
        Column("reward", "name"),
        Column("and", "text"),
        Column("r raw", "signed", "over all rollouts"),
        Column("r within", "signed", "of the standardised scores, within groups: what the gradient sees"),
        Column("signs", "signed", "1 where they always push the same way, -1 where never"),
        Column("groups", "count", "in which both vary"),
        Column("opposed", "share", "of these groups, those whose correlation is below 0"),
        Column("by chance", "share", "the same if the two had nothing to do with each other"),
        Column("r per group", "signed", "mean of the groups' own correlations"),
        Column("± error", "error", "its standard error"),
    )
    rows = (
        (
            *(pair.first, pair.second, pair.raw, pair.within, pair.signs, pair.groups),
            *(pair.opposed_groups, pair.opposed_by_chance, pair.correlation.value, pair.correlation.error),
        )
        for pair in analysis.conflict.pairs
    )
    return table("pairs", columns, rows)


def matrix(analysis: Analysis, which: Literal["raw", "within", "signs"]) -> Table:
    """A map of the correlations."""
    conflict = analysis.conflict
    rows = zip(conflict.names, getattr(conflict, which), strict=True)
    columns = (Column("reward", "name"), *(Column(name, "signed") for name in conflict.names))
    return table(f"correlation-{which}", columns, ((name, *row) for name, row in rows))


def queries(name: str, found: Iterable[Query]) -> Table:
    """One row a query."""
    columns = (
        Column("run", "text"),
        Column("step", "count"),
        Column("group", "text"),
        Column("prompt", "long"),
        Column("rollouts", "count"),
        Column("consensus", "share", "of the signal in the group, what does not cancel"),
        Column("kept", "share", "of its scored rollouts"),
    )
    rows = ((q.run, q.step, q.key, q.prompt, q.rollouts, q.consensus, q.kept) for q in found)
    return table(name, columns, rows)


SELECTION = (
    Column("kept", "share", "of the scored rollouts"),
    Column("groups emptied", "share", "groups of which nothing is kept"),
    Column("query weight", "share", "mean over groups of the share kept"),
    Column("cancelled left", "share", "of the signal of the kept rollouts, what cancels still"),
    Column("r with GDPO", "signed", "of the final advantages, dropped rollouts being 0"),
    Column("r with dump", "signed", "of the final advantages with those in the dump"),
)


def selection(chosen: Selection) -> tuple[float, ...]:
    """The values under :data:`SELECTION`."""
    return (
        *(chosen.kept, chosen.groups_emptied, chosen.query_weight, chosen.cancelled_share),
        *(chosen.correlation_with_gdpo, chosen.correlation_with_dump),
    )


def sweep(analysis: Analysis) -> Table:
    """One row a threshold."""
    return table("sweep", (Column("tau", "tau"), *SELECTION), ((s.tau, *selection(s)) for s in analysis.sweep))


def methods(analysis: Analysis) -> Table:
    """One row a method."""
    columns = (Column("method", "name"), Column("tau", "tau"), *SELECTION)
    return table("methods", columns, ((s.method, s.tau, *selection(s)) for s in analysis.methods))


def series(analysis: Analysis) -> Table:
    """One row a step and run."""
    names = [reward.name for reward in analysis.rewards]
    learnt = [metric.name for metric in analysis.learner]
    by_reward = ("mean", "within_group_std", "dead_group_share", "share_of_advantage")
    columns = (
        *(Column("run", "text"), Column("step", "count"), Column("last step", "count"), Column("rollouts", "count")),
        *(
            Column(f"{name}: {measure.replace('_', ' ')}", "share" if "share" in measure else "number")
            for name in names
            for measure in by_reward
        ),
        *(Column("mixed signs", "share"), Column("cancelled", "share"), Column("kept", "share")),
        *(Column("whitening gain", "number"), Column("mean length", "number")),
        *(Column(f"learner: {name}", "number") for name in learnt),
    )
    rows = (
        (
            *(point.run, point.step, point.last_step, point.rollouts),
            *(getattr(point, measure).get(name) for name in names for measure in by_reward),
            *(point.mixed_sign_share, point.cancelled_share, point.kept, point.whitening_gain, point.length),
            *(point.learner.get(name) for name in learnt),
        )
        for point in analysis.series
    )
    return table("steps", columns, rows)


def learner(analysis: Analysis) -> Table:
    """One row a metric of a learner beside the policy."""
    columns = (
        Column("metric", "name"),
        Column("mean", "number", "over all steps at which it could be measured"),
        Column("first third", "number", "mean over the first third of the steps"),
        Column("last third", "number", "mean over the last third of the steps"),
    )
    rows = (
        (metric.name, metric.mean, *((metric.trend.first, metric.trend.last) if metric.trend else (None, None)))
        for metric in analysis.learner
    )
    return table("learner", columns, rows)


def histograms(analysis: Analysis) -> Table:
    """One row a bar, of every histogram."""
    columns = (Column("of", "name"), Column("from", "number"), Column("to", "number"), Column("count", "count"))
    drawn: dict[str, Histogram] = {
        **{reward.name: reward.histogram for reward in analysis.rewards},
        "(consensus of groups)": analysis.queries.consensus,
        "(share kept of groups)": analysis.queries.kept,
    }
    rows = (
        (name, edge, edge + histogram.width, count)
        for name, histogram in drawn.items()
        for edge, count in zip(histogram.edges, histogram.counts, strict=True)
    )
    return table("histograms", columns, rows)


def sizes(analysis: Analysis) -> Table:
    """One row a group size."""
    columns = (Column("rollouts in a group", "count"), Column("groups", "count"))
    return table("group-sizes", columns, analysis.quality.group_sizes.items())


def lengths(analysis: Analysis) -> Table:
    """One row a reward: how it goes with the response's length."""
    columns = (
        Column("reward", "name"),
        Column("r with length", "signed", "mean over groups of the correlation inside the group"),
        Column("± error", "error", "its standard error"),
        Column("groups", "count", "in which both vary"),
    )
    found = ((reward.name, reward.length_correlation) for reward in analysis.rewards)
    return table("length", columns, ((name, r.value, r.error, r.groups) for name, r in found))


def settings(analysis: Analysis) -> Table:
    """One row a setting."""
    columns = (Column("setting", "name"), Column("value", "text"))
    values = ((field.name, getattr(analysis.settings, field.name)) for field in fields(analysis.settings))
    return table("settings", columns, ((name, str(value)) for name, value in values))

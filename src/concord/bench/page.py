"""The comparison as one self-contained HTML page, in the look of the report's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from concord.bench import statistics
from concord.bench.named import task_of
from concord.bench.runner import Run
from concord.bench.summary import Summary, TaskSummary
from concord.core.durable import write_whole
from concord.report.page import render
from concord.report.page.axis import SHARE
from concord.report.page.charts import Line, LineChart, line_chart
from concord.report.page.tables import Column, Table, Value, table

BUDGETS = 40
"""Places on the axis of update compute."""


def write_page(summary: Summary, runs: Sequence[Run], path: Path, *, command: str) -> None:
    """Write the page; it needs nothing else, makes no request, and appears whole or not at all.

    Args:
        summary, runs: what is shown.
        path: of the page; its folder is made if absent.
        command: the command line that makes this page.

    Raises:
        MissingExtra: jinja2 is not installed.
    """
    environment = render.environment()
    from jinja2 import ChoiceLoader, PackageLoader

    loader = ChoiceLoader([PackageLoader("concord.bench"), PackageLoader("concord.report.page")])
    style, script = render.asset("page.css"), render.asset("page.js")
    text = (
        environment.overlay(loader=loader)
        .get_template("bench.html")
        .render(
            summary=summary,
            overview=overview(summary),
            overall=over_all(summary),
            results={task.task: results(task) for task in summary.tasks},
            costs={task.task: costs(task) for task in summary.tasks},
            curves={task.task: curves(task, runs) for task in summary.tasks},
            methods=[row.method for row in summary.tasks[0].rows],
            command=command,
            style=style,
            script=script,
            policy=render.policy(style, script),
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text)


def overview(summary: Summary) -> Table:
    """One row a method: against the baseline on every task."""
    columns = (Column("method", "name"), *(Column(task.task, "text", task.about) for task in summary.tasks))
    methods = [row.method for row in summary.tasks[0].rows]
    rows = (
        (method, *(_against(task, method) for task in summary.tasks))
        for method in methods
        if method != summary.baseline
    )
    return table("overview", columns, rows)


def over_all(summary: Summary) -> Table:
    """One row a method: against the baseline, over all tasks."""
    columns = (
        Column("method", "name"),
        Column("AUC", "error", "mean over tasks and seeds"),
        Column("difference", "error", "from the baseline with the same seed, meaned over the tasks"),
        Column("from", "error", "95 % bootstrap interval over seeds"),
        Column("to", "error"),
        Column("wins", "count", "seeds in which that mean is above 0"),
        Column("p", "error", "exact sign-flip test over seeds"),
        Column("p Holm", "error", "adjusted over the methods"),
        Column("tokens", "share", "through forward and backward, of the baseline's"),
    )
    rows = (
        (r.method, r.auc, r.difference, *r.interval, r.wins, r.p, r.p_holm, r.tokens)
        for r in summary.overall
        if r.method != summary.baseline
    )
    return table("overall", columns, rows)


def _against(task: TaskSummary, method: str) -> str:
    row = next(row for row in task.rows if row.method == method)
    return f"{row.difference:+.3f}  {row.verdict()}, {row.wins} of {row.n}"


def results(task: TaskSummary) -> Table:
    """One row a method: the primary metric and its comparison."""
    columns = (
        Column("method", "name"),
        Column("n", "count", "seeds"),
        Column("AUC", "error", "mean over the steps of the mean of rewards scaled to [0, 1]; the primary metric"),
        Column("from", "error", "95 % bootstrap interval over seeds"),
        Column("to", "error"),
        Column("IQM", "error", "interquartile mean over seeds"),
        Column("difference", "error", "from the baseline, seed by seed"),
        Column("d from", "error", "95 % bootstrap interval of the difference"),
        Column("d to", "error"),
        Column("wins", "count", "seeds above the baseline"),
        Column("p", "error", "exact sign-flip test"),
        Column("p Holm", "error", "adjusted over all comparisons on this page"),
        Column("p TOST", "error", "small: the same within the margin; adjusted likewise"),
        Column("P(better)", "error", "probability that a run is above one of the baseline's, whatever their seeds"),
        Column("verdict", "text"),
    )
    rows = (
        (
            *(r.method, r.n, r.auc, *r.interval, r.iqm, r.difference, *r.difference_interval, r.wins),
            *(r.p, r.p_holm, r.p_equivalent, r.improvement, r.verdict()),
        )
        for r in task.rows
    )
    return table("results", columns, rows)


def costs(task: TaskSummary) -> Table:
    """One row a method: where it ended, what it spent, and what happened on the way."""
    columns = (
        Column("method", "name"),
        Column("final", "error", "mean of scaled rewards over the last tenth of the steps"),
        *(Column(name, "error", "scaled, over the last tenth of the steps") for name in task.rows[0].rewards),
        Column("joint success", "share", "good in every reward; mean over the steps"),
        Column("mixed", "share", "rollouts that one reward pushes up and another down"),
        Column("silent", "share", "groups in which no reward varies"),
        Column("kept", "share", "rollouts"),
        Column("sign flips", "share", "kept rollouts whose advantage whitening turns"),
        Column("steps to target", "number", "median over seeds; none if half of them do not reach it"),
        Column("update tokens", "count", "through forward and backward, of a run"),
        Column("at equal compute", "error", "mean of scaled rewards while the most frugal method's tokens were spent"),
        Column("difference", "error", "of that, from the baseline"),
    )
    rows: list[tuple[Value, ...]] = []
    for r in task.rows:
        shares = (r.success, r.mixed, r.silent, r.kept, r.sign_flips)
        spent = (r.steps_to, round(r.update_tokens), r.at_budget, r.at_budget_difference)
        rows.append((r.method, r.final, *r.rewards.values(), *shares, *spent))
    return table("costs", columns, rows)


def curves(task: TaskSummary, runs: Sequence[Run]) -> list[LineChart]:
    """Means over seeds with 95 % bootstrap intervals, a colour a method."""
    by_method: dict[str, list[Run]] = {}
    for run in runs:
        if run.job.task == task.task:
            by_method.setdefault(run.job.method, []).append(run)

    def over_steps(name: str) -> list[Line]:
        return [_line(hue, method, found, name) for hue, (method, found) in enumerate(by_method.items(), start=1)]

    rewards = [reward.name for reward in task_of(task.task).rewards]
    return [
        line_chart("Mean of scaled rewards", over_steps("value"), x_title="step"),
        line_chart("The same, over update compute", _over_compute(by_method), x_title="thousand tokens"),
        *(line_chart(name, over_steps(f"reward/{name}"), x_title="step") for name in rewards),
        line_chart("Joint success", over_steps("success"), x_title="step", y=SHARE),
        line_chart("Mixed-sign rollouts", over_steps("mixed"), x_title="step", y=SHARE),
        line_chart("Kept", over_steps("kept"), x_title="step", y=SHARE),
    ]


def _line(hue: int, method: str, runs: Sequence[Run], name: str) -> Line:
    values = np.array([run.curve(name) for run in runs])
    steps = [float(point["step"] or 0) for point in runs[0].points]
    intervals = statistics.bootstrap_curve(values)
    points = tuple(zip(steps, values.mean(0).tolist(), strict=True))
    return Line(method, hue, points, tuple((x, low, high) for x, (low, high) in zip(steps, intervals, strict=True)))


def _over_compute(by_method: dict[str, list[Run]]) -> list[Line]:
    """Each method's mean as far as all its runs go."""
    spent = {method: [[0.0, *accumulate(r.curve("update_tokens"))] for r in runs] for method, runs in by_method.items()}
    most = max(total[-1] for totals in spent.values() for total in totals)
    grid = np.linspace(0, most, BUDGETS)
    lines = []
    for hue, (method, runs) in enumerate(by_method.items(), start=1):
        own = [np.interp(grid, before[:-1], r.curve("value")) for before, r in zip(spent[method], runs, strict=True)]
        reach = min(before[-2] if len(before) > 2 else 0.0 for before in spent[method])
        means = np.where(grid <= reach, np.mean(own, 0), math.nan)
        lines.append(Line(method, hue, tuple(zip((grid / 1000).tolist(), means.tolist(), strict=True))))
    return lines

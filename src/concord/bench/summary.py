"""From runs to what is said of them: one row a task and method, compared with the baseline seed by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from concord.bench import statistics
from concord.bench.named import task_of
from concord.bench.overall import Overall, overall
from concord.bench.runner import Run
from concord.bench.statistics import Interval
from concord.core.errors import ConfigError

MARGIN = 0.01
"""Two methods whose AUC differs by less than this are the same for practical purposes; fixed before any run."""
ALPHA = 0.05
HALFWAY = 0.5
"""The target of "steps to": this far from where all start to the best attainable."""


@dataclass(frozen=True)
class Row:
    """A method on a task.

    Attributes:
        method, n: and its seeds.
        auc: of ``value`` over the steps, the mean over seeds: the primary metric.
        interval: 95 % bootstrap interval of it.
        iqm: interquartile mean over seeds of it.
        difference, difference_interval: AUC minus the baseline's with the same seeds.
        wins: seeds in which it is above the baseline.
        p, p_holm: exact sign-flip test, and adjusted over all rows of all tasks.
        p_equivalent: TOST at :data:`MARGIN`, adjusted likewise.
        improvement: probability that one of its runs is above one of the baseline's.
        final: ``value`` over the last tenth of the steps.
        success: success in all rewards, mean over the steps.
        rewards: by name, scaled to [0, 1], mean over the last tenth of the steps.
        mixed, silent, kept, sign_flips: shares, mean over the steps; see :func:`concord.bench.trial.run`.
        steps_to: median over seeds of the steps to the target; infinite if half of them do not reach it.
        update_tokens: of a run, mean over seeds.
        at_budget, at_budget_difference: mean of ``value`` while as many update tokens were spent as the most frugal
            method of the task and seed spends, and minus the baseline's.
    """

    method: str
    n: int
    auc: float
    interval: Interval
    iqm: float
    difference: float
    difference_interval: Interval
    wins: int
    p: float
    p_holm: float
    p_equivalent: float
    improvement: float
    final: float
    success: float
    rewards: dict[str, float]
    mixed: float
    silent: float
    kept: float
    sign_flips: float
    steps_to: float
    update_tokens: float
    at_budget: float
    at_budget_difference: float

    def verdict(self) -> str:
        """Against the baseline, in a word: "same" (TOST), else "better" or "worse" (sign-flip test), else "open"."""
        if math.isnan(self.p):
            return "baseline"
        if self.p_equivalent < ALPHA:
            return "same"
        if self.p_holm < ALPHA:
            return "better" if self.difference > 0 else "worse"
        return "open"


@dataclass(frozen=True)
class TaskSummary:
    """What happened on one task.

    Attributes:
        task: as asked for.
        about, best, best_known: of the task.
        start: ``value`` at the first step, the same for every method.
        target: of ``steps_to``.
        rows: one a method, in the order asked for.
    """

    task: str
    about: str
    best: float
    best_known: str
    start: float
    target: float
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Summary:
    """The whole comparison; ``overall`` is over all tasks at once."""

    baseline: str
    seeds: int
    margin: float
    tasks: tuple[TaskSummary, ...]
    overall: tuple[Overall, ...]


def summarise(runs: Sequence[Run], baseline: str) -> Summary:
    """Compare every method with the baseline on every task.

    Raises:
        ConfigError: the baseline was not run.
    """
    methods = dict.fromkeys(run.job.method for run in runs)
    if baseline not in methods:
        raise ConfigError(f"the baseline {baseline!r} is not among the methods {', '.join(methods)}; see --baseline")
    seeds = len({run.job.seed for run in runs})
    tasks = [
        _task(name, {method: _of(runs, name, method) for method in methods}, baseline)
        for name in dict.fromkeys(run.job.task for run in runs)
    ]
    return Summary(baseline, seeds, MARGIN, tuple(_adjusted(tasks)), overall(runs, baseline))


def as_data(summary: Summary) -> dict[str, Any]:
    """The comparison as plain data, the verdicts with it."""
    data = asdict(summary)
    for task, rows in zip(data["tasks"], summary.tasks, strict=True):
        task["rows"] = [row | {"verdict": r.verdict()} for row, r in zip(task["rows"], rows.rows, strict=True)]
    return data


def _of(runs: Sequence[Run], task: str, method: str) -> list[Run]:
    return sorted((r for r in runs if (r.job.task, r.job.method) == (task, method)), key=lambda run: run.job.seed)


def _adjusted(tasks: Sequence[TaskSummary]) -> list[TaskSummary]:
    """Holm over the rows of all tasks, for each of the two tests."""
    rows = [row for task in tasks for row in task.rows]
    different = statistics.holm([row.p for row in rows])
    equivalent = statistics.holm([row.p_equivalent for row in rows])
    new = iter([replace(r, p_holm=p, p_equivalent=q) for r, p, q in zip(rows, different, equivalent, strict=True)])
    return [replace(task, rows=tuple(next(new) for _ in task.rows)) for task in tasks]


def _task(name: str, runs: dict[str, list[Run]], baseline: str) -> TaskSummary:
    task = task_of(name)
    start = float(np.mean([run.curve("value")[0] for run in runs[baseline]]))
    target = start + HALFWAY * (task.best - start)
    everyone = zip(*runs.values(), strict=True)
    budgets = [min(sum(run.curve("update_tokens")) for run in same_seed) for same_seed in everyone]
    rows = [_row(name, method, found, runs[baseline], target, budgets) for method, found in runs.items()]
    return TaskSummary(name, task.about, task.best, task.best_known, start, target, tuple(rows))


def _row(name: str, method: str, runs: list[Run], against: list[Run], target: float, budgets: Sequence[float]) -> Row:
    auc, theirs = _means(runs, "value"), _means(against, "value")
    d = [a - b for a, b in zip(auc, theirs, strict=True)]
    frugal, theirs_frugal = _at_budget(runs, budgets), _at_budget(against, budgets)
    itself = runs is against
    reached = [statistics.steps_to(run.curve("value"), target) for run in runs]
    scaled = {reward.name: reward for reward in task_of(name).rewards}
    return Row(
        method=method,
        n=len(runs),
        auc=float(np.mean(auc)),
        interval=statistics.bootstrap(auc),
        iqm=statistics.iqm(auc),
        difference=float(np.mean(d)),
        difference_interval=statistics.bootstrap(d),
        wins=sum(one > 0 for one in d),
        p=math.nan if itself else statistics.sign_flip(d),
        p_holm=math.nan,
        p_equivalent=math.nan if itself else statistics.equivalent(d, MARGIN),
        improvement=statistics.probability_of_improvement(auc, theirs),
        final=float(np.mean([_last(run, "value") for run in runs])),
        success=float(np.mean(_means(runs, "success"))),
        rewards={
            k: (float(np.mean([_last(r, f"reward/{k}") for r in runs])) - reward.low) / (reward.high - reward.low)
            for k, reward in scaled.items()
        },
        **{share: float(np.mean(_means(runs, share))) for share in ("mixed", "silent", "kept", "sign_flips")},
        steps_to=float(np.median([math.inf if steps is None else steps for steps in reached])),
        update_tokens=float(np.mean([sum(run.curve("update_tokens")) for run in runs])),
        at_budget=float(np.mean(frugal)),
        at_budget_difference=float(np.mean(frugal) - np.mean(theirs_frugal)),
    )


def _means(runs: Sequence[Run], name: str) -> list[float]:
    """A measure's mean over the steps, run by run: of ``value``, the area under its curve."""
    return [float(np.mean(run.curve(name))) for run in runs]


def _last(run: Run, name: str) -> float:
    """The mean over the last tenth of the steps, one at least."""
    curve = run.curve(name)
    return float(np.mean(curve[-max(1, len(curve) // 10) :]))


def _at_budget(runs: Sequence[Run], budgets: Sequence[float]) -> list[float]:
    return [
        statistics.at_budget(run.curve("value"), run.curve("update_tokens"), budget)
        for run, budget in zip(runs, budgets, strict=True)
    ]

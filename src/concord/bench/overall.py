"""Methods over all tasks at once: differences from the baseline, meaned over the tasks of one seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from concord.bench import statistics
from concord.bench.runner import Run
from concord.bench.statistics import Interval


@dataclass(frozen=True)
class Overall:
    """A method over all tasks.

    Attributes:
        method, n: and its seeds.
        auc: meaned over tasks and seeds.
        difference, interval: AUC minus the baseline's with the same seed and task, meaned over the tasks, and a 95 %
            bootstrap interval over seeds.
        wins: seeds in which that mean is above 0.
        p, p_holm: exact sign-flip test over seeds, and adjusted over the methods.
        tokens: through forward and backward passes, as a share of the baseline's, meaned over the tasks.
    """

    method: str
    n: int
    auc: float
    difference: float
    interval: Interval
    wins: int
    p: float
    p_holm: float
    tokens: float


def overall(runs: Sequence[Run], baseline: str) -> tuple[Overall, ...]:
    """One row a method, in the order of the runs; the baseline's own p is NaN."""
    found = {(r.job.task, r.job.method, r.job.seed): r for r in runs}
    tasks = list(dict.fromkeys(task for task, _, _ in found))
    methods = list(dict.fromkeys(method for _, method, _ in found))
    seeds = list(dict.fromkeys(seed for _, _, seed in found))
    auc = {key: float(np.mean(run.curve("value"))) for key, run in found.items()}
    spent = {key: math.fsum(run.curve("update_tokens")) for key, run in found.items()}
    rows: list[Overall] = []
    for method in methods:
        d = [float(np.mean([auc[t, method, s] - auc[t, baseline, s] for t in tasks])) for s in seeds]
        shares = [sum(spent[t, method, s] for s in seeds) / sum(spent[t, baseline, s] for s in seeds) for t in tasks]
        rows.append(
            Overall(
                method=method,
                n=len(seeds),
                auc=float(np.mean([auc[t, method, s] for t in tasks for s in seeds])),
                difference=float(np.mean(d)),
                interval=statistics.bootstrap(d),
                wins=sum(one > 0 for one in d),
                p=math.nan if method == baseline else statistics.sign_flip(d),
                p_holm=math.nan,
                tokens=float(np.mean(shares)),
            )
        )
    adjusted = statistics.holm([row.p for row in rows])
    return tuple(replace(row, p_holm=p) for row, p in zip(rows, adjusted, strict=True))

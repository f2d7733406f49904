"""From sums to the records of :mod:`concord.report.analysis`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from concord.report.analysis import Conflict, Estimate, LearnerMetric, Pair, Reward, Selection, StepPoint
from concord.report.bars import Bars
from concord.report.course import saturated_since, trend
from concord.report.series import Entry, Series
from concord.report.sums import ConflictSums, Sums
from concord.report.tally import Named


def share(part: Tensor, whole: Tensor) -> float:
    """``part / whole``; NaN where there is nothing."""
    return float(part) / float(whole) if float(whole) else math.nan


def lost(net: Tensor, gross: Tensor) -> float:
    """``1 - net / gross``, the share that cancels; 0 where there is no signal."""
    return max(0.0, 1 - float(net) / float(gross)) if float(gross) else 0.0


def rewards(
    names: Sequence[str],
    shift: Tensor,
    sums: Sums,
    pooled: Sequence[Entry],
    statuses: Sequence[Mapping[str, int]],
    bars: Sequence[Bars],
) -> tuple[Reward, ...]:
    """A record for each reward; the verdicts are still empty."""
    r, conflict = sums.rewards, sums.conflict
    records = []
    for k, name in enumerate(names):
        count = Counter(statuses[k])
        means = [float(s.scores.mean[k] + shift[k]) for _, _, s in pooled]
        scored = float(r.scores.count[k])
        records.append(
            Reward(
                name=name,
                weight=float(r.weight[k] / conflict.rollouts),
                statuses={status: n / int(conflict.rollouts) for status, n in count.most_common()},
                mean=float(r.scores.mean[k] + shift[k]),
                std=float(r.scores.std[k]),
                low=float(r.range.low[k]) if scored else math.nan,
                high=float(r.range.high[k]) if scored else math.nan,
                at_low=share(r.range.at_low[k], r.scores.count[k]),
                at_high=share(r.range.at_high[k], r.scores.count[k]),
                within_group_std=float(r.std.mean[k]),
                dead_group_share=share(r.dead[k], r.std.count[k]),
                share_of_advantage=share(r.gross[k], r.gross.sum()),
                share_of_raw_sum=share(r.raw[k], r.raw.sum()),
                effective_weight=share(r.net[k], conflict.net),
                length_correlation=r.length.estimate(k),
                saturated_since=saturated_since(pooled, k),
                trend=trend(means),
                verdict="",
                histogram=bars[k].histogram(),
            )
        )
    return tuple(records)


def conflict(names: Sequence[str], sums: Sums) -> Conflict:
    """How far the rewards are at odds."""
    c, p = sums.conflict, sums.pairs
    size = p.within.diagonal().sqrt()
    within = torch.where(size > 0, p.within / (size[:, None] * size), torch.nan)
    within = torch.where(size[:, None] > 0, within, torch.nan).clamp(-1, 1)
    signs = p.agree / p.both
    raw = p.raw.correlation
    pairs = [
        Pair(
            first=names[j],
            second=names[k],
            raw=float(raw[j, k]),
            within=float(within[j, k]),
            signs=float(signs[j, k]),
            groups=int(p.correlation.count[j, k]),
            opposed_groups=share(p.opposed[j, k], p.correlation.count[j, k]),
            opposed_by_chance=share(p.opposed_chance[j, k], p.correlation.count[j, k]),
            correlation=p.correlation.estimate(j, k),
        )
        for j in range(len(names))
        for k in range(j + 1, len(names))
    ]
    return Conflict(
        mixed_sign_share=share(c.mixed, c.scored),
        mixed_sign_by_chance=share(c.mixed_chance, c.scored),
        cancelled_share=lost(c.net, c.gross),
        cancelled_by_chance=lost(c.net_chance, c.gross),
        cancelled_excess=_excess(c),
        whitening_gain=float(c.gain.mean),
        highest_gain=float(c.gains.high[0]) if float(c.gain.count) else math.nan,
        silent_groups=1 - share(c.speaking, c.groups),
        names=tuple(names),
        raw=_rows(raw),
        within=_rows(within),
        signs=_rows(signs),
        pairs=tuple(sorted(pairs, key=_most_opposed)),
    )


def _excess(c: ConflictSums) -> Estimate:
    """The ratio sum e / sum t over groups, with the error of a ratio of means."""
    count, gross = int(c.speaking), float(c.gross)
    if not gross:
        return Estimate(math.nan, math.nan, 0)
    ratio = float(c.excess) / gross
    residual = float(c.excess_square - 2 * ratio * c.excess_gross + ratio**2 * c.gross_square)
    error = math.sqrt(max(0.0, residual) * count / (count - 1)) / gross if count > 1 else math.nan
    return Estimate(ratio, error, count)


def _rows(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
    matrix = matrix.clone()
    matrix.fill_diagonal_(1.0)
    return tuple(map(tuple, matrix.tolist()))


def _most_opposed(pair: Pair) -> tuple[float, str, str]:
    value = pair.correlation.value
    return math.inf if math.isnan(value) else value, pair.first, pair.second


def selections(methods: Sequence[tuple[str, float | None]], sums: Sums) -> tuple[Selection, ...]:
    """What each method leaves."""
    s = sums.selections
    to_gdpo, to_dump = s.gdpo.correlation.tolist(), s.dump.correlation.tolist()
    return tuple(
        Selection(
            method=name,
            tau=tau,
            kept=share(s.kept[i], s.scored[i]),
            groups_emptied=share(s.emptied[i], s.groups[i]),
            query_weight=share(s.share[i], s.groups[i]),
            cancelled_share=lost(s.net[i], s.gross[i]),
            correlation_with_gdpo=to_gdpo[i],
            correlation_with_dump=to_dump[i],
        )
        for i, (name, tau) in enumerate(methods)
    )


def learner(pooled: Sequence[Entry]) -> tuple[LearnerMetric, ...]:
    """A record for each metric that a learner gave, in the order of appearance."""
    course = [sums.learner for _, _, sums in pooled]
    whole = sum(course, Named({})).means
    return tuple(
        LearnerMetric(name, mean, trend([at.means.get(name, math.nan) for at in course]))
        for name, mean in whole.items()
    )


def points(names: Sequence[str], shift: Tensor, series: Series) -> tuple[StepPoint, ...]:
    """The course by run and step."""

    def by_name(values: Tensor) -> dict[str, float]:
        return dict(zip(names, values.tolist(), strict=True))

    return tuple(
        StepPoint(
            run=run,
            step=first,
            last_step=last,
            rollouts=s.rollouts,
            mean=by_name(s.scores.mean + shift),
            within_group_std=by_name(s.std.mean),
            dead_group_share=by_name(s.dead / s.std.count),
            share_of_advantage=by_name(s.gross / s.gross.sum()),
            mixed_sign_share=share(s.mixed, s.scored),
            cancelled_share=lost(s.net, s.gross.sum()),
            whitening_gain=float(s.gain.mean),
            kept=share(s.kept, s.scored),
            length=float(s.length.mean),
            learner=s.learner.means,
        )
        for run, (first, last, s) in series.entries()
    )

"""The prompts on which the rewards agree least and most, and a few of them in full."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from itertools import accumulate

from torch import Tensor

from concord.report.analysis import Example, ExampleRollout, Queries, Query
from concord.report.bars import Bars
from concord.report.batches import TEXT_LIMIT
from concord.report.measure import TAU, Measured
from concord.report.sums import per_group

QUERIES = 20
"""Worst and best queries that are held, each."""

EXAMPLE_ROLLOUTS = 32
"""Rollouts of an example that are held."""

AGREED = 1 - 1e-9
"""A consensus of this much is full agreement, up to rounding."""

Rank = tuple[float, str, int, str]


class Ranking:
    """Keeps the first few queries by consensus from either end; ties go by run, step and key.

    Args:
        examples: how many of the worst are held with all their texts.
    """

    def __init__(self, examples: int) -> None:
        self._examples = examples
        self._worst: list[tuple[Rank, Query, Example | None]] = []
        self._best: list[tuple[Rank, Query]] = []
        self._consensus, self._kept = Bars(), Bars()

    def add(self, m: Measured) -> None:
        """Look at a batch's groups."""
        gross, scored = per_group(m.gross, m.groups), per_group(m.scored, m.groups)
        consensus = (per_group(m.net.abs(), m.groups) / gross).clamp(max=1)  # NaN in silent groups
        kept = per_group(m.chosen("gd2po", TAU).keep, m.groups) / scored
        self._consensus.add(consensus)
        self._kept.add(kept)
        speaking = [p for p, total in enumerate(gross.tolist()) if total > 0]
        self._add_worst(m, consensus.tolist(), kept, speaking)
        self._add_best(m, consensus.tolist(), kept, speaking)

    def queries(self) -> Queries:
        """What was found."""
        return Queries(
            tuple(query for _, query, _ in self._worst),
            tuple(query for _, query in self._best),
            self._consensus.histogram(),
            self._kept.histogram(),
        )

    def examples(self) -> tuple[Example, ...]:
        """The worst queries that have a conflict, with their texts."""
        return tuple(example for _, _, example in self._worst if example is not None)

    def _add_worst(self, m: Measured, consensus: Sequence[float], kept: Tensor, speaking: Sequence[int]) -> None:
        found = heapq.nsmallest(QUERIES, ((_rank(m, p, consensus[p]), p) for p in speaking))
        new = [(rank, _query(m, p, consensus[p], kept), p) for rank, p in found]
        known = {rank: example for rank, _, example in self._worst}
        places = {rank: p for rank, _, p in new}
        ordered = sorted([(rank, query) for rank, query, _ in (*self._worst, *new)], key=lambda entry: entry[0])
        self._worst = []
        for place, (rank, query) in enumerate(ordered[:QUERIES]):
            example = known.get(rank)
            if rank in places and place < self._examples and query.consensus < AGREED:
                example = _example(m, places[rank], query)
            self._worst.append((rank, query, example if place < self._examples else None))

    def _add_best(self, m: Measured, consensus: Sequence[float], kept: Tensor, speaking: Sequence[int]) -> None:
        found = heapq.nsmallest(QUERIES, ((_rank(m, p, -consensus[p]), p) for p in speaking))
        self._best += [(rank, _query(m, p, consensus[p], kept)) for rank, p in found]
        self._best = sorted(self._best, key=lambda entry: entry[0])[:QUERIES]


def _rank(m: Measured, p: int, score: float) -> Rank:
    # Rounded, so that equals that differ in the last digit rank by name.
    rows = m.batch.members[p]
    return round(score, 9), rows.run, rows.step, rows.key


def _query(m: Measured, p: int, consensus: float, kept: Tensor) -> Query:
    rows = m.batch.members[p]
    return Query(rows.run, rows.step, rows.key, rows.prompt, len(rows.completions), consensus, float(kept[p]))


def _example(m: Measured, p: int, query: Query) -> Example:
    rows, characters, names = m.batch.members[p], m.batch.characters[p], m.batch.rollouts.names
    start = list(accumulate((len(other.completions) for other in m.batch.members[:p]), initial=0))[-1]
    rollouts = []
    for i, (text, length) in enumerate(zip(rows.completions[:EXAMPLE_ROLLOUTS], characters, strict=False)):
        n = start + i
        scores = m.scores[n].tolist()
        z = [value if score == score else score for value, score in zip(m.z[n].tolist(), scores, strict=True)]
        rollouts.append(
            ExampleRollout(
                text,
                max(0, length - TEXT_LIMIT),
                dict(zip(names, scores, strict=True)),
                dict(zip(names, z, strict=True)),
                bool(m.mixed[n]),
                float(m.consensus[n]),
                bool(m.chosen("gd2po", TAU).keep[n]),
            )
        )
    return Example(query, tuple(rollouts))

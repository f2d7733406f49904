"""A dump, group by group, to an analysis: one pass, bounded memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from concord.core.errors import ConfigError, DumpError, nearest
from concord.dumps.read import open_dump
from concord.dumps.rows import GroupRows
from concord.report import assemble
from concord.report.analysis import Analysis, Quality, Settings
from concord.report.bars import Bars
from concord.report.batches import BATCH_LIMIT, TEXT_LIMIT, Batch, Batcher, Source
from concord.report.findings import judge
from concord.report.measure import NUMERICS, TAU, Measured, MethodKey
from concord.report.ranking import QUERIES, Ranking
from concord.report.series import Series
from concord.report.sums import StepSums, Sums

TAUS = tuple(round(0.05 * i, 2) for i in range(21))
"""The thresholds of the sweep."""

MOST_REWARDS = 64
"""Rewards are compared pair by pair, group by group: time, memory and the page grow with their square."""

METHODS: tuple[MethodKey, ...] = (("grpo", None), ("gdpo", None), ("gd2po", TAU), ("gd2po_hard", None))
"""What the sweep is compared with. GD2PO with a threshold is the paper's SNR rule."""


def analyse(
    dump: Source | str | PathLike[str],
    *,
    weights: Mapping[str, float] | None = None,
    noise_floor: Mapping[str, float] | None = None,
    taus: Sequence[float] = TAUS,
    examples: int = 8,
    progress: Callable[[], None] | None = None,
) -> Analysis:
    """Where the rewards of a dump conflict.

    Args:
        dump: groups of rollouts, as :func:`concord.dumps.open_dump` gives them, or the path of a dump; read once, in
            whatever order, a step's groups together.
        weights: of the rewards, by name, 1 where not named; None takes those in the dump, or 1.
        noise_floor: by reward, in its own units: how near to its group's mean a score says nothing.
        taus: thresholds of the sweep.
        examples: how many of the most conflicted groups are held with their texts.
        progress: called after every group.

    Raises:
        DumpError: no rollout, or no reward, could be read; or more than ``MOST_REWARDS`` rewards.
        ConfigError: a weight or a floor for a reward that the dump does not have, or something that is not a dump.
    """
    if isinstance(dump, (str, PathLike)):
        dump = open_dump([Path(dump)])
    if not hasattr(dump, "rewards"):
        raise ConfigError(f"a dump is a path, or what open_dump(paths) returns; got {type(dump).__name__}")
    names = tuple(dump.rewards)
    if not names:
        raise DumpError("no reward was found in these rollouts; name the columns with --rewards")
    if len(names) > MOST_REWARDS:
        raise DumpError(
            f"{len(names):,} columns of numbers look like rewards ({', '.join(names[:8])}, ...), and at most "
            f"{MOST_REWARDS} are compared, pair by pair; name the rewards with --rewards"
        )
    for name in weights or ():
        if name not in names:
            raise ConfigError(f"a weight for reward {name!r}; the dump has {', '.join(names)}" + nearest(name, names))
    for name in noise_floor or ():
        if name not in names:
            raise ConfigError(f"a floor for reward {name!r}; the dump has {', '.join(names)}" + nearest(name, names))
    reading = _Reading(names, Batcher(names, weights, noise_floor), taus, examples)
    for rows in dump:
        reading.add(rows)
        if progress is not None:
            progress()
    return judge(reading.finish(dump))


class _Reading:
    """What has been seen so far."""

    def __init__(self, names: tuple[str, ...], batcher: Batcher, taus: Sequence[float], examples: int) -> None:
        self._names = names
        self._methods = (*METHODS, *(("gd2po", tau) for tau in sorted(taus)))
        self._batcher = batcher
        self._ranking, self._series = Ranking(examples), Series()
        self._bars = [Bars() for _ in names]
        self._statuses: list[Counter[str]] = [Counter() for _ in names]
        self._sizes: Counter[int] = Counter()
        self._sums: Sums | None = None
        self._shift = np.full(len(names), np.nan)

    def add(self, rows: GroupRows) -> None:
        if not rows.completions:
            return
        self._sizes[len(rows.completions)] += 1
        for k in range(len(self._names)):
            self._statuses[k].update(_statuses(rows, k))
        for batch in self._batcher.add(rows):
            self._measure(batch)

    def finish(self, dump: Source) -> Analysis:
        for batch in self._batcher.rest():
            self._measure(batch)
        if self._sums is None:
            skipped = ", ".join(f"{count} x {reason}" for reason, count in dump.skipped.items())
            raise DumpError("no rollout could be read" + (f"; skipped: {skipped}" if skipped else ""))
        sums, shift = self._sums, self._known_shift()
        chosen = assemble.selections(self._methods, sums)
        return Analysis(
            rollouts=int(sums.conflict.rollouts),
            groups=int(sums.conflict.groups),
            steps=len(self._batcher.steps),
            runs=len(self._series.runs),
            run_names=tuple(self._series.runs)[:16],
            rewards=assemble.rewards(self._names, shift, sums, self._series.pooled(), self._statuses, self._bars),
            conflict=assemble.conflict(self._names, sums),
            queries=self._ranking.queries(),
            quality=self._quality(dump, sums),
            settings=_settings(self._series.width),
            sweep=chosen[len(METHODS) :],
            methods=chosen[: len(METHODS)],
            series=assemble.points(self._names, shift, self._series),
            learner=assemble.learner(self._series.pooled()),
            examples=self._ranking.examples(),
        )

    def _measure(self, batch: Batch) -> None:
        measured = Measured(batch)
        self._fix_shift(batch.rollouts.rewards)
        shift = self._known_shift()
        sums = Sums.of(measured, shift, self._methods)
        self._sums = sums if self._sums is None else self._sums + sums
        for place, span in enumerate(batch.spans):
            self._series.add(span.run, span.step, StepSums.of(measured, shift, place, span))
        self._ranking.add(measured)
        for bars, scores in zip(self._bars, batch.rollouts.rewards.T, strict=True):
            bars.add(scores)

    def _fix_shift(self, scores: Tensor) -> None:
        """Until a reward has a first score, its sums are 0 under any shift."""
        for k in np.flatnonzero(np.isnan(self._shift)):
            known = scores[:, k][scores[:, k].isfinite()]
            if len(known):
                self._shift[k] = float(known[0])

    def _known_shift(self) -> Tensor:
        return torch.from_numpy(np.nan_to_num(self._shift))

    def _quality(self, dump: Source, sums: Sums) -> Quality:
        usual = min(self._sizes, key=lambda size: (-self._sizes[size], size))
        groups = int(sums.conflict.groups)
        inferred = list(dump.inferred)
        if parts := len(self._batcher.parts):
            inferred.append(
                f"{parts} steps came in parts (more than {BATCH_LIMIT} rollouts, or not in order): whitened by part"
            )
        return Quality(
            format=dump.format,
            inferred=tuple(inferred),
            missing=tuple(dump.missing),
            skipped=dict(dump.skipped),
            group_sizes=dict(self._sizes.most_common(20)),
            usual_size=usual,
            odd_groups=groups - self._sizes[usual],
            singletons=self._sizes[1],
            unscored=int(sums.conflict.rollouts - sums.conflict.scored),
            truncated_share=float(sums.conflict.truncated.mean),
            length_unit=self._batcher.length_unit,
            mean_length=float(sums.conflict.length.mean),
        )


def _settings(width: int) -> Settings:
    from concord import __version__

    return Settings(TAU, NUMERICS, TEXT_LIMIT, QUERIES, BATCH_LIMIT, width, __version__)


def _statuses(rows: GroupRows, k: int) -> Sequence[str]:
    """The status of reward k for each rollout; without any, what its scores tell."""
    if rows.statuses is not None:
        return rows.statuses[k]
    return ["scored" if scored else "not scored" for scored in np.isfinite(rows.scores[:, k]).tolist()]

"""From a stream of groups to batches: the rollouts of one step, which methods whiten together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.dumps.rows import GroupRows

BATCH_LIMIT = 16_384
"""Rollouts that are taken together; a larger step comes in parts, so that memory is bounded."""

CELLS = 2**21
"""Numbers of the largest table of a batch: groups x (the largest group's rollouts + rewards) x rewards. Groups are
laid out side by side, so that one large group among many small ones would fill the memory."""

TEXT_LIMIT = 2_000
"""Characters of a prompt or completion that are held."""

Weights = tuple[tuple[str, float], ...]


class Source(Protocol):
    """What the analysis reads; :func:`concord.dumps.open_dump` returns one."""

    @property
    def format(self) -> str: ...
    @property
    def rewards(self) -> tuple[str, ...]: ...
    @property
    def inferred(self) -> Sequence[str]: ...
    @property
    def missing(self) -> Sequence[str]: ...
    @property
    def skipped(self) -> Mapping[str, int]: ...
    def __iter__(self) -> Iterator[GroupRows]: ...


@dataclass(frozen=True)
class Span:
    """Where a step stands in a batch: its rollouts ``[start, stop)`` and its groups ``[first, last)``."""

    run: str
    step: int
    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class Batch:
    """Whole groups of one or more steps, one after another.

    Attributes:
        spans: the S steps, in order.
        weights: by reward name; 1 where not named.
        members: the P groups, texts cut at ``TEXT_LIMIT`` characters.
        characters: for each group the completions' full lengths.
        rollouts: ``[N, K]`` float64, NaN = not scored.
        steps: the partition of the N rollouts into the S steps.
        lengths: ``[N]`` of the responses, in the batcher's ``length_unit``; NaN where unknown.
        advantages: ``[N]``, those in the dump; NaN where it has none.
        truncated: ``[N]``, 1 where the response was cut off; NaN where the dump does not say.
    """

    spans: list[Span]
    weights: Weights
    members: list[GroupRows]
    characters: list[list[int]]
    rollouts: Rollouts
    steps: Groups
    lengths: Tensor
    advantages: Tensor
    truncated: Tensor


@dataclass(eq=False)
class _Waiting:
    """The groups of one step so far."""

    rows: list[GroupRows] = field(default_factory=list)
    characters: list[list[int]] = field(default_factory=list)
    size: int = 0
    largest: int = 0


Key = tuple[Weights, str, int]


class Batcher:
    """Gathers groups by step until memory is full, then gives out the steps that began first.

    Args:
        names: the K rewards.
        weights: by name, for every rollout; None takes those in the dump.
        noise_floor: by name, as :class:`concord.Rollouts` has it.

    Attributes:
        length_unit: "tokens" if the first group has lengths, else "characters".
        steps: the distinct (run, step).
        parts: those that had to be cut up.
    """

    def __init__(
        self,
        names: Sequence[str],
        weights: Mapping[str, float] | None,
        noise_floor: Mapping[str, float] | None = None,
    ) -> None:
        self.length_unit = ""
        self.steps: set[tuple[str, int]] = set()
        self.parts: set[tuple[str, int]] = set()
        self._names = tuple(names)
        self._weights = None if weights is None else tuple(sorted(weights.items()))
        self._noise_floor = noise_floor
        self._waiting: dict[Key, _Waiting] = {}
        self._size = 0

    def add(self, rows: GroupRows) -> Iterator[Batch]:
        """Take a group; give out the batches that are due."""
        if not self.length_unit:
            self.length_unit = "characters" if rows.lengths is None else "tokens"
        cut = dataclasses.replace(
            rows, prompt=rows.prompt[:TEXT_LIMIT], completions=[text[:TEXT_LIMIT] for text in rows.completions]
        )
        key, size = (self._weights_of(rows), rows.run, rows.step), len(rows.completions)
        step = self._waiting.setdefault(key, _Waiting())
        if step.rows and self._cells(len(step.rows) + 1, max(step.largest, size)) > CELLS:
            self._size -= step.size
            yield self._batch(key[0], {key: step})
            step = self._waiting[key] = _Waiting()
        step.rows.append(cut)
        step.characters.append([len(text) for text in rows.completions])
        step.size += size
        step.largest = max(step.largest, size)
        self._size += size
        while self._size >= 2 * BATCH_LIMIT:
            yield self._take()

    def rest(self) -> Iterator[Batch]:
        """What still waits when the stream ends."""
        while self._waiting:
            yield self._take()

    def _weights_of(self, rows: GroupRows) -> Weights:
        if self._weights is not None:
            return self._weights
        return () if rows.weights is None else tuple(zip(self._names, rows.weights, strict=True))

    def _take(self) -> Batch:
        """The oldest steps of one set of weights: at least one step, at most ``BATCH_LIMIT`` rollouts if more."""
        weights = next(iter(self._waiting))[0]
        keys: list[Key] = []
        size = groups = largest = 0
        for key, step in self._waiting.items():
            groups, largest = groups + len(step.rows), max(largest, step.largest)
            full = size + step.size > BATCH_LIMIT or self._cells(groups, largest) > CELLS
            if keys and (key[0] != weights or full):
                break
            keys.append(key)
            size += step.size
        self._size -= size
        return self._batch(weights, {key: self._waiting.pop(key) for key in keys})

    def _cells(self, groups: int, largest: int) -> int:
        rewards = len(self._names)
        return groups * (largest + rewards) * rewards

    def _batch(self, weights: Weights, steps: Mapping[Key, _Waiting]) -> Batch:
        spans, start, first = [], 0, 0
        for (_, run, number), step in steps.items():
            if (run, number) in self.steps:
                self.parts.add((run, number))
            self.steps.add((run, number))
            spans.append(Span(run, number, start, start + step.size, first, first + len(step.rows)))
            start, first = start + step.size, first + len(step.rows)
        members = [rows for step in steps.values() for rows in step.rows]
        characters = [counts for step in steps.values() for counts in step.characters]
        sizes = [len(counts) for counts in characters]
        scores = np.concatenate([rows.scores for rows in members]).astype(np.float64, copy=False)
        lengths = characters if self.length_unit == "characters" else [rows.lengths for rows in members]
        return Batch(
            spans,
            weights,
            members,
            characters,
            Rollouts(torch.from_numpy(scores), _consecutive(sizes), self._names, noise_floor=self._noise_floor),
            _consecutive([span.stop - span.start for span in spans]),
            _column(lengths, sizes),
            _column([rows.advantages for rows in members], sizes),
            _column([rows.truncated for rows in members], sizes),
        )


def _consecutive(sizes: Sequence[int]) -> Groups:
    return Groups.of(np.repeat(np.arange(len(sizes)), sizes).tolist())


def _column(parts: Sequence[Sequence[float] | np.ndarray | None], sizes: Sequence[int]) -> Tensor:
    """``[N]`` float64; NaN for a group that has none."""
    filled = [np.full(size, np.nan) if part is None else part for part, size in zip(parts, sizes, strict=True)]
    return torch.from_numpy(np.concatenate(filled).astype(np.float64))

"""From a stream of groups to batches: the rollouts of one step, which methods whiten together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.dumps.rows import GroupRows

BATCH_LIMIT = 16_384
"""Rollouts of one step that are taken together; larger steps come in parts, so that memory is bounded."""

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


@dataclass(frozen=True, eq=False)
class Batch:
    """Whole groups of one step, one after another.

    Attributes:
        run, step: whose.
        weights: by reward name; 1 where not named.
        members: the P groups, texts cut at ``TEXT_LIMIT`` characters.
        characters: for each group the completions' full lengths.
        rollouts: ``[N, K]`` float64, NaN = not scored.
        lengths: ``[N]`` of the responses, in the batcher's ``length_unit``; NaN where unknown.
        advantages: ``[N]``, those in the dump; NaN where it has none.
    """

    run: str
    step: int
    weights: Weights
    members: list[GroupRows]
    characters: list[list[int]]
    rollouts: Rollouts
    lengths: Tensor
    advantages: Tensor


class Batcher:
    """Gathers groups by run, step and weights until the step is whole or memory is full.

    Args:
        names: the K rewards.
        weights: by name, for every rollout; None takes those in the dump.

    Attributes:
        length_unit: "tokens" if the first group has lengths, else "characters".
        steps: the distinct (run, step).
        parts: those that had to be cut up.
    """

    def __init__(self, names: Sequence[str], weights: Mapping[str, float] | None) -> None:
        self.length_unit = ""
        self.steps: set[tuple[str, int]] = set()
        self.parts: set[tuple[str, int]] = set()
        self._names = tuple(names)
        self._weights = None if weights is None else tuple(sorted(weights.items()))
        self._waiting: dict[tuple[str, int, Weights], list[tuple[GroupRows, list[int]]]] = {}
        self._sizes: dict[tuple[str, int, Weights], int] = {}

    def add(self, rows: GroupRows) -> Iterator[Batch]:
        """Take a group; give back the batches that are full by now."""
        if not rows.completions:
            return
        if not self.length_unit:
            self.length_unit = "characters" if rows.lengths is None else "tokens"
        key = rows.run, rows.step, self._weights_of(rows)
        characters = [len(text) for text in rows.completions]
        cut = dataclasses.replace(
            rows, prompt=rows.prompt[:TEXT_LIMIT], completions=[text[:TEXT_LIMIT] for text in rows.completions]
        )
        self._waiting.setdefault(key, []).append((cut, characters))
        self._sizes[key] = self._sizes.get(key, 0) + len(characters)
        if self._sizes[key] >= BATCH_LIMIT:
            yield self._take(key)
        elif sum(self._sizes.values()) >= 2 * BATCH_LIMIT:
            yield self._take(next(iter(self._waiting)))

    def rest(self) -> Iterator[Batch]:
        """What still waits when the stream ends."""
        while self._waiting:
            yield self._take(next(iter(self._waiting)))

    def _weights_of(self, rows: GroupRows) -> Weights:
        if self._weights is not None:
            return self._weights
        return () if rows.weights is None else tuple(zip(self._names, rows.weights, strict=True))

    def _take(self, key: tuple[str, int, Weights]) -> Batch:
        run, step, weights = key
        del self._sizes[key]
        members, characters = map(list, zip(*self._waiting.pop(key), strict=True))
        if (run, step) in self.steps:
            self.parts.add((run, step))
        self.steps.add((run, step))
        sizes = [len(counts) for counts in characters]
        scores = np.concatenate([rows.scores for rows in members]).astype(np.float64, copy=False)
        groups = Groups.of(np.repeat(np.arange(len(sizes)), sizes).tolist())
        lengths = characters if self.length_unit == "characters" else [rows.lengths for rows in members]
        return Batch(
            run,
            step,
            weights,
            members,
            characters,
            Rollouts(torch.from_numpy(scores), groups, self._names),
            _column(lengths, sizes),
            _column([rows.advantages for rows in members], sizes),
        )


def _column(parts: Sequence[Sequence[float] | np.ndarray | None], sizes: Sequence[int]) -> Tensor:
    """``[N]`` float64; NaN for a group that has none."""
    filled = [np.full(size, np.nan) if part is None else part for part, size in zip(parts, sizes, strict=True)]
    return torch.from_numpy(np.concatenate(filled).astype(np.float64))

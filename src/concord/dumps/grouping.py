"""From a stream of rollouts to groups, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from concord.core.status import FAULTS, INVALID, SCORED
from concord.dumps.formats.base import Rollout, digest
from concord.dumps.rows import NOT_SCORED, GroupRows
from concord.dumps.values import fact, number

WINDOW_ROWS = 65_536
WINDOW_CHARACTERS = 2**27
"""Of the rollouts that wait for the rest of their group; the group that came first is closed beyond it."""

LONGEST_KEY = 100
"""Characters; a longer id is hashed."""

_Place = tuple[str, int]
_Key = tuple[str, int, Hashable]


@dataclass(frozen=True)
class Layout:
    """How the groups of a dump lie.

    Attributes:
        scattered: the rows of a group may have others in between.
        size: rollouts of a group, where a group is nothing but a run of equal prompts; longer runs
            are cut there. None does not cut.
    """

    scattered: bool
    size: int | None = None


@dataclass
class _Open:
    """A group that may still grow; of what its rollouts came from, only the scores are kept."""

    prompt: str
    rollouts: list[Rollout] = field(default_factory=list)
    scores: list[list[float]] = field(default_factory=list)
    places: dict[Hashable, int] = field(default_factory=dict)  # of the sessions
    characters: int = 0

    def add(self, rollout: Rollout, scores: list[float]) -> bool:
        """Take a rollout; False if it took the place of an earlier output of the same one."""
        rollout.values, rollout.prompt = {}, ""
        self.characters += len(rollout.completion)
        if rollout.session is not None:
            at = self.places.setdefault(rollout.session, len(self.rollouts))
            if at < len(self.rollouts):
                self.rollouts[at], self.scores[at] = rollout, scores
                return False
        self.rollouts.append(rollout)
        self.scores.append(scores)
        return True


class Grouper:
    """Collects rollouts by (run, step, group), or by prompt where there is no group's id.

    Args:
        names: the K rewards.
        layout: how the groups lie.
        skipped: counts outputs that were folded into their rollout.

    Attributes:
        sizes: groups by size.
        cut: how often a run of equal prompts was cut.
        reappeared: groups whose id came up again after they were closed. Each is a group of its own.
    """

    def __init__(self, names: Sequence[str], layout: Layout, skipped: Counter[str]) -> None:
        self.sizes: Counter[int] = Counter()
        self.cut = 0
        self.reappeared = 0
        self._names = tuple(names)
        self._layout = layout
        self._skipped = skipped
        self._open: dict[_Key, _Open] = {}
        self._rows = 0
        self._characters = 0
        self._closed: dict[int, int] = {}  # hash of a closed group's id -> how often; some 100 bytes a group
        self._count: Counter[_Place] = Counter()

    def add(self, rollout: Rollout, run: str, step: int) -> Iterator[GroupRows]:
        """Take a rollout; give back the groups that are complete by now."""
        key: _Key = (run, step, rollout.prompt if rollout.group is None else (rollout.group,))
        if not self._layout.scattered and key not in self._open:
            yield from self.close()
        group = self._open.get(key)
        if group is not None and len(group.rollouts) == self._layout.size:
            self.cut += 1
            yield self._take(key)
            group = None
        if group is None:
            group = self._open[key] = _Open(rollout.prompt)
            self._characters += len(rollout.prompt)
        before, values = group.characters, rollout.values
        if group.add(rollout, [v if type(v := values.get(name)) is float else number(v) for name in self._names]):
            self._rows += 1
        else:
            self._skipped["earlier output of a rollout, of which the last one counts"] += 1
        self._characters += group.characters - before
        while self._rows > WINDOW_ROWS or self._characters > WINDOW_CHARACTERS:
            yield self._take(next(iter(self._open)))

    def close(self) -> Iterator[GroupRows]:
        """Every group that is open: no more of them will come."""
        while self._open:
            yield self._take(next(iter(self._open)))

    def _take(self, key: _Key) -> GroupRows:
        run, step, identity = key
        group = self._open.pop(key)
        self._rows -= len(group.rollouts)
        self._characters -= group.characters + len(group.prompt)
        self.sizes[len(group.rollouts)] += 1
        return _assemble(group, run, step, self._name(run, step, identity), self._names)

    def _name(self, run: str, step: int, identity: Hashable) -> str:
        if isinstance(identity, tuple):
            parts = identity[0] if isinstance(identity[0], tuple) else identity
            base = "/".join(str(part) for part in parts)
            base = base if len(base) <= LONGEST_KEY else digest(base)
        else:  # a prompt: too long for a name, and it may well come again
            base = str(self._count[run, step])
            self._count[run, step] += 1
            if self._layout.scattered and self._seen((run, step, identity, "prompt")) > 1:
                self.reappeared += 1
        name, times = base, self._seen((run, step, base))
        if times > 1:
            self.reappeared += isinstance(identity, tuple)
            name = f"{base}~{times}"
            while self._seen((run, step, name)) > 1:
                name += "~"
        return name

    def _seen(self, identity: Hashable) -> int:
        mark = hash(identity)
        self._closed[mark] = times = self._closed.get(mark, 0) + 1
        return times


def _assemble(group: _Open, run: str, step: int, key: str, names: tuple[str, ...]) -> GroupRows:
    rollouts, statuses = group.rollouts, None
    scores = np.array(group.scores, dtype=np.float64).reshape(len(rollouts), len(names))
    unusable = np.isinf(scores)
    if unusable.any() or any(rollout.statuses for rollout in rollouts):
        statuses = _statuses(rollouts, scores, names)
        scores[unusable] = np.nan
    keep = [fact(rollout.keep) for rollout in rollouts]
    return GroupRows(
        run=run,
        step=step,
        key=key,
        prompt=group.prompt,
        completions=[rollout.completion for rollout in rollouts],
        scores=scores,
        statuses=statuses,
        weights=_weights(rollouts, names),
        advantages=_column([fact(rollout.advantage) for rollout in rollouts]),
        keep=None if any(map(math.isnan, keep)) else np.array(keep, bool),
        lengths=_column([fact(rollout.length) for rollout in rollouts]),
        truncated=_column([fact(rollout.truncated) for rollout in rollouts]),
        learner={name: fact(value) for name, value in (rollouts[0].learner or {}).items()},
    )


def _statuses(rollouts: list[Rollout], scores: np.ndarray, names: tuple[str, ...]) -> list[list[str]]:
    found = []
    for name, column in zip(names, scores.T.tolist(), strict=True):
        words = [(rollout.statuses or {}).get(name) for rollout in rollouts]
        found.append([_status(word, score) for word, score in zip(words, column, strict=True)])
    return found


def _status(word: object, score: float) -> str:
    if math.isinf(score):
        return INVALID
    if not math.isnan(score):  # what stands in for a score that failed is no score of the function's
        return str(word) if word in FAULTS else SCORED
    return str(word) if word and word != SCORED else NOT_SCORED


def _weights(rollouts: list[Rollout], names: tuple[str, ...]) -> tuple[float, ...] | None:
    """Each reward's first finite weight in the group; 1 for a reward that has none where others have."""
    found: dict[str, float] = {}
    for rollout in rollouts:
        for name, weight in (rollout.weights or {}).items():
            if name not in found and not math.isnan(value := fact(weight)):
                found[name] = value
        if len(found) == len(names):
            break
    return tuple(found.get(name, 1.0) for name in names) if found else None


def _column(values: list[float]) -> np.ndarray | None:
    column = np.array(values)
    return None if np.isnan(column).all() else column

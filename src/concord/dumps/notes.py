"""What is only known once the rows have gone by: columns that come late, batches logged again, odd groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from concord.dumps.detect import OTHER, UNOPENED
from concord.dumps.formats.base import Rollout
from concord.dumps.grouping import Grouper
from concord.dumps.rows import GroupRows
from concord.dumps.values import is_number, text

_MOST = 20
_SHAPES = 4096


class Columns:
    """Watches for values that the first rows did not have, and for rewards that some rows lack.

    Args:
        rewards: those that each row should have.
        known: every name that the first rows had, and those that are never rewards.

    Attributes:
        late: numbers under new names, which are not read.
        absent: rewards that some rows have no field for.
    """

    def __init__(self, rewards: Collection[str], known: Collection[str]) -> None:
        self.late: dict[str, int] = {}
        self.absent: dict[str, int] = {}
        self._rewards = tuple(rewards)
        self._known = frozenset(known)
        self._shapes: set[tuple[str, ...]] = set()

    def see(self, rollout: Rollout) -> None:
        """Look at one rollout; costs next to nothing while the fields stay the same."""
        shape = tuple(rollout.values)
        if shape in self._shapes:
            return
        if len(self._shapes) < _SHAPES:
            self._shapes.add(shape)
        step = rollout.step or 0
        for name in self._rewards:
            if name not in rollout.values:
                self.absent.setdefault(name, step)
        for name in shape:
            if name not in self._known and len(self.late) < _MOST and is_number(rollout.values[name]):
                self.late.setdefault(text(name), step)


class Repeats:
    """Knows the groups of the step before: a trainer that reuses a batch logs it again at each step.

    A group of equal completions is never called a repeat: a collapsed policy gives the same ones anew.
    """

    def __init__(self) -> None:
        self._place: tuple[str, int] | None = None
        self._before: set[int] = set()
        self._now: set[int] = set()

    def again(self, group: GroupRows) -> bool:
        """Whether the step before had the very same texts, scores and advantages."""
        place = (group.run, group.step)
        if place != self._place:
            self._place, self._before, self._now = place, self._now, set()
        if len(set(group.completions)) < 2:
            return False
        advantages = b"" if group.advantages is None else group.advantages.tobytes()
        mark = hash((group.prompt, tuple(group.completions), group.scores.tobytes(), advantages))
        self._now.add(mark)
        return mark in self._before


def sentences(grouper: Grouper, columns: Columns) -> list[str]:
    """What came up while one source was read."""
    found = []
    if grouper.cut:
        found.append(f"longer runs of one prompt were cut into groups, {grouper.cut} times")
    if grouper.reappeared:
        found.append(
            f"{grouper.reappeared} times a group's id came up again after the group had been closed (its rows lie too "
            "far apart, or two groups share an id): each part counts as a group of its own"
        )
    for name, step in columns.absent.items():
        found.append(f"some rows have no {name!r} (first at step {step}): not scored there")
    for name, step in columns.late.items():
        found.append(f"{name!r} comes up at step {step} and was not in the first rows: not read; name it in --rewards")
    return found


def settle(skipped: Counter[str]) -> list[str]:
    """Take out of ``skipped`` what is no loss, and say it; drop what was not met at all."""
    told = [(kind, skipped.pop(kind, 0)) for kind in (OTHER, UNOPENED)]
    skipped += Counter()  # in place; drops zeros
    return [f"{kind}: {count}" for kind, count in told if count]


def size_sentences(sizes: Counter[int]) -> list[str]:
    """How many groups have other than the usual number of rows."""
    if not sizes:
        return []
    usual, _ = max(sizes.items(), key=lambda item: (item[1], item[0]))
    odd = sizes.total() - sizes[usual]
    if usual == 1 and not odd:
        return ["every group has one row: within it nothing can be compared. If a column says which rows belong "
                "together, name it with --group-by"]  # fmt: skip
    if not odd:
        return []
    return [f"{odd} of {sizes.total()} groups have other than {usual} rows"]

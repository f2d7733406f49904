"""Rollouts that every format's test writes down its own way, and that each must give back."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from concord.dumps import Dump, GroupRows, open_dump

REWARDS = ("right", "short")


@dataclass(frozen=True)
class Row:
    """One rollout as the trainer knew it; None = a reward that abstained."""

    step: int
    group: int
    index: int
    prompt: str
    completion: str
    scores: dict[str, float | None]
    advantage: float
    length: int
    truncated: bool

    @property
    def total(self) -> float:
        return sum(score or 0.0 for score in self.scores.values())


def rows(
    steps: Sequence[int] = (1, 2, 10), groups: int = 3, size: int = 4, names: Sequence[str] = REWARDS
) -> list[Row]:
    """Every score, advantage and text is a different one, so that nothing can be mixed up unnoticed."""
    made = []
    for step in steps:
        for group in range(groups):
            for index in range(size):
                n = len(made)
                scores: dict[str, float | None] = {name: n + k / 16 for k, name in enumerate(names)}
                made.append(
                    Row(
                        step,
                        group,
                        index,
                        f"prompt é {step}-{group}",
                        f"answer\n{n} <b>\u2028",
                        scores,
                        -n / 8,
                        n + 5,
                        n % 3 == 0,
                    )
                )
    return made


def by_step(wanted: Iterable[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in wanted:
        found.setdefault(row.step, []).append(row)
    return found


def shuffled(wanted: Sequence[Row], seed: int = 0) -> list[Row]:
    """As a trainer writes them that balances its batches."""
    mixed = list(wanted)
    random.Random(seed).shuffle(mixed)
    return mixed


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def read(path: Path | Sequence[Path], **options: Any) -> tuple[Dump, list[GroupRows]]:
    """Open and go through a dump."""
    dump = open_dump(path, **options)
    return dump, list(dump)


def check(
    found: Sequence[GroupRows],
    wanted: Sequence[Row],
    names: Sequence[str] = REWARDS,
    *,
    texts: bool = True,
    advantages: bool = False,
    lengths: bool = False,
    truncated: bool = False,
    total: bool = False,
) -> None:
    """That the groups hold exactly the wanted rows: whole groups, in each the right rollouts."""
    groups: dict[tuple[int, int], list[Row]] = {}
    for row in wanted:
        groups.setdefault((row.step, row.group), []).append(row)
    assert len(found) == len(groups)
    assert len({(group.run, group.step, group.key) for group in found}) == len(found)
    assert sorted(group.step for group in found) == sorted(step for step, _ in groups)
    for group in found:
        first = group.scores[0, 0]
        row = next(r for r in wanted if math.isclose(_score(r, names[0], total), first))
        mates = groups[row.step, row.group]
        order = {_score(r, names[0], total): r for r in mates}
        mates = [order[score] for score in group.scores[:, 0].tolist()]  # KeyError: a rollout of another group
        assert len(mates) == len(order) == len(group.scores)
        assert group.step == row.step
        expected = [[_score(r, name, total) for name in names] for r in mates]
        np.testing.assert_array_equal(group.scores, np.array(expected))
        assert group.scores.dtype == np.float64
        assert group.prompt == (row.prompt if texts else "")
        assert group.completions == [r.completion if texts else "" for r in mates]
        _check_column(group.advantages, [r.advantage for r in mates] if advantages else None)
        _check_column(group.lengths, [r.length for r in mates] if lengths else None)
        _check_column(group.truncated, [r.truncated for r in mates] if truncated else None)


def keeps(group: GroupRows) -> list[bool] | None:
    return None if group.keep is None else group.keep.tolist()


def _score(row: Row, name: str, total: bool) -> float:
    score = row.total if total else row.scores[name]
    return math.nan if score is None else score


def _check_column(found: np.ndarray | None, wanted: list[Any] | None) -> None:
    if wanted is None:
        assert found is None
    else:
        assert found is not None
        np.testing.assert_allclose(found, np.array(wanted, float))

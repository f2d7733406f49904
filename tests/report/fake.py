"""A dump held in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from concord.dumps.rows import GroupRows


@dataclass
class FakeDump:
    """What ``open_dump`` gives, without files."""

    rows: Sequence[GroupRows]
    rewards: tuple[str, ...]
    format: str = "fake"
    inferred: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def __iter__(self) -> Iterator[GroupRows]:
        return iter(self.rows)


def group(
    scores: Sequence[Sequence[float]] | np.ndarray, *, step: int = 0, key: str = "0", **more: object
) -> GroupRows:
    """A group with these scores ``[G, K]``; texts and the rest by default."""
    scores = np.asarray(scores, dtype=np.float64)
    fields: dict[str, object] = {
        "run": "run",
        "prompt": f"prompt {key}",
        "completions": [f"completion {i} of {key}" for i in range(len(scores))],
        "statuses": None,
        "weights": None,
        "advantages": None,
        "keep": None,
        "lengths": None,
        "truncated": None,
        "learner": {},
    }
    return GroupRows(step=step, key=key, scores=scores, **(fields | more))  # type: ignore[arg-type]

"""What a reward function is asked about: completions, and all that is known about each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from concord.rewards.completions import Completion

RESERVED = ("prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric")
"""What TRL passes to a reward function beside the columns of the data set, by keyword."""


@dataclass(frozen=True, eq=False)
class RewardBatch:
    """N completions to score.

    Attributes:
        prompts: N, text or messages.
        completions: N, text or messages.
        completion_ids: N lists of tokens; None where they are not known.
        columns: the data set's columns, N entries each, by name.
        context: what the engine hands on as it is: TRL's ``trainer_state``, ``log_extra`` and ``log_metric``.
    """

    prompts: Sequence[Any]
    completions: Sequence[Completion]
    completion_ids: Sequence[Sequence[int]] | None = None
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.completions)

    def part(self, start: int, stop: int) -> RewardBatch:
        """The completions from ``start`` up to ``stop``; the context is that of the whole."""
        ids = self.completion_ids
        return RewardBatch(
            self.prompts[start:stop],
            self.completions[start:stop],
            None if ids is None else ids[start:stop],
            {name: column[start:stop] for name, column in self.columns.items()},
            self.context,
        )

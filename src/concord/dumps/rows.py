"""The one form in which every reader hands over what it read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

NOT_SCORED = "not scored"
"""There is no score, and the dump does not say why."""


@dataclass(frozen=True, eq=False)
class GroupRows:
    """The rollouts of one prompt at one step: G of them, scored by K rewards (``Dump.rewards``).

    Attributes:
        run: which run they come from: the dump's own name for it, else the file's or folder's name.
        step: the optimisation step; 0 where neither the rows nor the file's name say.
        key: the group's id, unique within (run, step).
        prompt: its text; a conversation is written out with its roles.
        completions: G texts; "" where the dump holds none.
        scores: ``[G, K]`` float64, in each reward's own units. NaN = not scored. Never infinite.
        statuses: K lists of G words: "scored", "abstained", "failed", "timed out", "invalid" (the
            dump holds something that is no finite number), or "not scored" where the dump does not
            say why. None where nothing is known beyond the NaN in ``scores``.
        weights: K, where the dump holds them; else None.
        advantages: ``[G]`` float64 as the run logged them, NaN = unknown; None if none is known.
        keep: ``[G]`` bool, False = the run did not train on it; None if the dump does not say.
        lengths: ``[G]`` float64, tokens of the response, NaN = unknown; None if none is known.
        truncated: ``[G]`` float64, 1 = cut off, 0 = not, NaN = unknown; None if none is known.
        learner: what a learner beside the policy measured at this step, by name, NaN = it could not be
            measured; empty if the dump tells of none.
    """

    run: str
    step: int
    key: str
    prompt: str
    completions: list[str]
    scores: np.ndarray
    statuses: list[list[str]] | None
    weights: tuple[float, ...] | None
    advantages: np.ndarray | None
    keep: np.ndarray | None
    lengths: np.ndarray | None
    truncated: np.ndarray | None
    learner: Mapping[str, float]

"""Scores of single turns: made one number for the rollout, or kept for rows that are turns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from concord.core.errors import BatchError, ConfigError, nearest
from concord.core.status import ABSTAINED, FAULTS, INVALID
from concord.rewards.scores import Score, read_score

TURNS = ("sum", "last", "mean", "each")
"""What becomes of a list with one score a turn."""


def check_turns(turns: Any) -> None:
    """Refuse what is none of :data:`TURNS`."""
    if turns is not None and turns not in TURNS:
        raise ConfigError(f"turns is one of {', '.join(TURNS)}; got {turns!r}" + nearest(str(turns), TURNS))


def whole_rollouts_only(name: str, turns: str | None) -> None:
    """Refuse ``turns: each`` where a row of the batch is a whole rollout.

    Raises:
        ConfigError: says what can be done.
    """
    if turns == "each":
        raise ConfigError(
            f"reward {name!r}: turns: each needs a batch whose rows are turns, and here rows and members of groups are "
            "whole rollouts: say turns: sum, last or mean, or make rows with RewardSet.by_turn in your own loop"
        )


def read_turns(entry: Any, turns: str | None) -> Score:
    """What a reward function returned for one rollout, where that may be a list with one score a turn.

    A turn whose entry is None abstains: the sum and the mean are those of the others, and a last turn that abstains
    leaves the rollout without a score, as a list without any score does. One invalid entry makes the rollout invalid,
    with ``each`` its turn. A number is the score of the rollout, and with ``each`` that of its one turn.

    Args:
        entry: a number or None; with ``turns`` also a list, tuple, array or tensor of them.
        turns: of :data:`TURNS`; None = a list of more than one entry, or of none, is invalid.

    Example:
        >>> [read_turns([1.0, None, 0.5], turns).value for turns in ("sum", "mean", "last")]
        [1.5, 0.75, 0.5]
        >>> read_turns([1.0, None], "each").turns
        (Score(value=1.0, status='scored', error=None), Score(value=None, status='abstained', error=None))
        >>> read_turns([1.0, 0.5], None).error
        'returned [1.0, 0.5] (list); ... if these are the scores of its turns, say turns: sum, last, mean or each'
    """
    listed = _listed(entry)
    if turns is None or listed is None:
        score = read_score(entry)
        if listed is not None and score.status == INVALID:
            return replace(score, error=f"{score.error}; if these are the scores of its turns, say turns: {_OR}")
        return score if turns != "each" or score.status in (ABSTAINED, *FAULTS) else replace(score, turns=(score,))
    scores = [read_score(turn) for turn in listed]
    for number, score in enumerate(scores):
        if score.status == INVALID:
            scores[number] = replace(score, error=f"turn {number}: {score.error}")
    if turns == "each":
        return Score(None, ABSTAINED, turns=tuple(scores))
    if fault := next((score for score in scores if score.status == INVALID), None):
        return fault
    if turns == "last":
        return scores[-1] if scores else Score(None, ABSTAINED)
    values = [score.value for score in scores if score.value is not None]
    if not values:
        return Score(None, ABSTAINED)
    total = math.fsum(values)
    return read_score(total if turns == "sum" else total / len(values))


def at_turns(score: Score, count: int) -> list[Score]:
    """The score of each of a rollout's turns: its own where it has some, else the rollout's at each of them.

    Example:
        >>> [turn.value for turn in at_turns(Score(0.5, "scored"), 2)]
        [0.5, 0.5]
        >>> at_turns(read_turns([1.0], "each"), 2)[0].error
        'returned 1 score for 2 turns; return one for each, and None for those it does not judge'
    """
    if score.turns is None:
        return [score] * count
    if len(score.turns) != count:
        given, many = len(score.turns), "s" * (len(score.turns) != 1)
        said = f"returned {given} score{many} for {count} turn{'s' * (count != 1)}"
        return [Score(None, INVALID, f"{said}; return one for each, and None for those it does not judge")] * count
    return list(score.turns)


def check_counts(turns: Sequence[int], rollouts: int) -> None:
    """Refuse counts of turns that are not one positive whole number for each rollout."""
    if len(turns) != rollouts:
        raise BatchError(f"turns counts those of {len(turns)} rollouts, and there are {rollouts}")
    for row, count in enumerate(turns):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise BatchError(f"rollout {row} has {count!r} turns; give a positive whole number")


_OR = f"{', '.join(TURNS[:-1])} or {TURNS[-1]}"


def _listed(entry: Any) -> list[Any] | None:
    """The entries of a list, tuple, array or tensor; None for anything else."""
    if isinstance(entry, list | tuple):
        return list(entry)
    return list(entry.tolist()) if getattr(entry, "shape", ()) and hasattr(entry, "tolist") else None

"""Asking a reward function about the same completions in several ways, and writing down what it says."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from concord.core.status import ABSTAINED, FAILED, FAULTS, INVALID, TIMED_OUT
from concord.rewards.asked import lacking
from concord.rewards.batch import RewardBatch
from concord.rewards.check.rows import is_chat, take, token_ids, uses_tools
from concord.rewards.check.texts import Case, cases
from concord.rewards.forms.detect import detect
from concord.rewards.forms.form import Form, Unreadable
from concord.rewards.forms.groups import by_prompt
from concord.rewards.forms.slime import SlimeGroup
from concord.rewards.forms.verifiers import VerifiersGroup
from concord.rewards.named import NamedReward
from concord.rewards.reward_set import RewardSet
from concord.rewards.scores import Score

PATIENCE = 3
"""Time limits that calls without an answer may take up, one by one, before the rest is not asked."""

LOST = (FAILED, TIMED_OUT)
"""What becomes of a score where the call did not return."""

Scores = dict[int, Score]
"""By row; a row that was not asked is not there."""

Tick = Callable[[], object]


@dataclass(frozen=True, eq=False)
class Round:
    """What was said of the rows, asked about in whatever pieces.

    Attributes:
        scores: by reward.
        misshapen: by reward, what was wrong with the form of something returned; rewards without that are not there.
        seconds: for each piece.
    """

    scores: dict[str, Scores]
    misshapen: dict[str, str] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Rounds:
    """The rounds of asking about all rows.

    Attributes:
        whole: all in one batch.
        again: the same.
        shuffled: in another order.
        alone: one completion after the other; of a reward that compares them, those of one prompt.
        halves: in two batches.
    """

    whole: Round
    again: Round
    shuffled: Round
    alone: Round
    halves: Round


@dataclass(frozen=True, eq=False)
class Measured:
    """All that is known of one function.

    Attributes:
        form: how it is called, and how that was found out.
        compares: whether it says of itself that it compares the completions of a batch.
        size: completions in the batch.
        chat: whether completions are messages.
        alone: one completion after the other, perhaps not all of them.
        rounds: None where it never answered, or left too many calls without an answer to go on.
        cases: what came of each, by reward.
    """

    form: str
    compares: bool
    size: int
    chat: bool
    alone: Round
    rounds: Rounds | None
    cases: Mapping[Case, Mapping[str, Score]]


def steps(rewards: Sequence[NamedReward], batch: RewardBatch) -> int:
    """How often :func:`measure` asks, if all goes well."""
    pieces = len(_pieces(rewards, batch))
    return 1 + pieces + 3 + min(2, pieces) + len(cases(is_chat(batch)))  # with tools or without, as many


def measure(rewards: Sequence[NamedReward], batch: RewardBatch, tick: Tick) -> Measured:
    """Ask one function, of which ``rewards`` take the scores, about the batch and about difficult text.

    Args:
        rewards: of equal sources.
        batch: at least one completion.
        tick: called after each asking.

    Raises:
        ConfigError: its form is not known, or does not take it.
        MissingColumn: it reads a column that the batch lacks.
    """
    # What a fault counts for is the run's affair; here it has to show.
    # Nor is it said here what rows are, so that lists of turns are looked at by their sum.
    asked = RewardSet(
        [
            replace(
                reward, on_error="abstain", max_failed=None, turns="sum" if reward.turns == "each" else reward.turns
            )
            for reward in rewards
        ],
        say=lambda line: None,
    )
    try:
        return _Asker(asked, batch, tick).measured(_pieces(rewards, batch))
    finally:
        asked.close()


class _Asker:
    def __init__(self, rewards: RewardSet, batch: RewardBatch, tick: Tick) -> None:
        self._rewards = rewards
        self._batch = batch
        self._tick = tick

    def measured(self, pieces: Sequence[Sequence[int]]) -> Measured:
        everything, shuffled = [*range(len(self._batch))], [*range(len(self._batch))]
        random.Random(0).shuffle(shuffled)
        middle = (len(pieces) + 1) // 2
        halves = [[row for piece in half for row in piece] for half in (pieces[:middle], pieces[middle:])]
        self._ask(take(self._batch, pieces[0]))  # starts a worker, whose time is not the function's
        limit = self._rewards.rewards[0].source.limits.timeout
        alone = self._round(pieces, patience=math.inf if limit is None else PATIENCE * limit)
        if len(alone.seconds) < len(pieces):
            return self._found(alone, None)
        whole = self._round([everything])
        if not (_answered(alone) or _answered(whole)):
            return self._found(alone, None)
        again, other, parts = (self._round(rows) for rows in ([everything], [shuffled], [h for h in halves if h]))
        return self._found(alone, Rounds(whole, again, other, self._known(alone, whole), parts))

    def _found(self, alone: Round, rounds: Rounds | None) -> Measured:
        chat = is_chat(self._batch)
        texts = cases(chat, uses_tools(self._batch)) if rounds else ()
        difficult = {case: self._case(case) for case in texts}
        form = self._rewards.forms[self._rewards.names[0]]
        compares = self._rewards.rewards[0].source.group_relative
        return Measured(form, compares, len(self._batch), chat, alone, rounds, difficult)

    def _known(self, alone: Round, whole: Round) -> Round:
        """What was said alone, had it been known then that there is such a key: its lack is an abstention."""
        scores = dict(alone.scores)
        for reward in self._rewards.rewards:
            if reward.key is not None and any(score.status != INVALID for score in whole.scores[reward.name].values()):
                unknown = lacking(reward.key, ())
                scores[reward.name] = {
                    row: Score(None, ABSTAINED) if (score.error or "").startswith(unknown) else score
                    for row, score in scores[reward.name].items()
                }
        return replace(alone, scores=scores)

    def _round(self, pieces: Iterable[Sequence[int]], patience: float = math.inf) -> Round:
        found = Round({name: {} for name in self._rewards.names})
        waited = 0.0
        for rows in pieces:
            answer = self._ask(take(self._batch, rows))
            found.seconds.extend(answer.seconds)
            found.misshapen.update(
                {name: text for name, text in answer.misshapen.items() if name not in found.misshapen}
            )
            for name, scores in answer.scores.items():
                found.scores[name] |= {row: scores[place] for place, row in enumerate(rows)}
            if any(score.status in LOST for scores in answer.scores.values() for score in scores.values()):
                waited += answer.seconds[0]
                if waited >= patience:
                    break
        return found

    def _case(self, case: Case) -> dict[str, Score]:
        row = take(self._batch, [0])
        answer = self._ask(replace(row, completions=[case.completion], completion_ids=[token_ids(case.completion)]))
        return {name: scores[0] for name, scores in answer.scores.items()}

    def _ask(self, batch: RewardBatch) -> Round:
        begin = time.perf_counter()
        found = self._rewards.score(batch)
        seconds = time.perf_counter() - begin
        self._tick()
        scores = {
            name: {
                place: Score(value, status, found.errors.get(name) if status in FAULTS else None)
                for place, (value, status) in enumerate(zip(values, found.statuses[name], strict=True))
            }
            for name, values in found.values.items()
        }
        causes = found.causes.items()
        misshapen = {name: found.errors[name] for name, cause in causes if isinstance(cause, Unreadable)}
        return Round(scores, misshapen, [seconds])


def _answered(found: Round) -> bool:
    return any(score.status not in LOST for scores in found.scores.values() for score in scores.values())


def _pieces(rewards: Sequence[NamedReward], batch: RewardBatch) -> list[list[int]]:
    """The rows that are asked about alone: each, or those of each prompt where the function compares these."""
    source = rewards[0].source
    form: Form = detect(source.target, source.form).form
    grouped = source.group_relative or isinstance(form, SlimeGroup | VerifiersGroup)
    return by_prompt(batch.prompts) if grouped else [[row] for row in range(len(batch))]

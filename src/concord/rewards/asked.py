"""One reward function asked about a batch, for all the rewards that take its scores."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from concord.core.errors import ConfigError
from concord.core.status import ABSTAINED, INVALID, SCORED
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Reply, Runner
from concord.rewards.forms.detect import detect
from concord.rewards.forms.form import Unreadable
from concord.rewards.named import NamedReward
from concord.rewards.runners.calling import is_async
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.runners.inline import Inline
from concord.rewards.runners.pool import Pool
from concord.rewards.runners.target import Target
from concord.rewards.scores import Score, read_score
from concord.rewards.source import Source
from concord.rewards.turn_scores import read_turns

_log = logging.getLogger(__name__)

Column = tuple[list[Score], BaseException | None]
"""A reward's scores, and the exception behind the first fault where there is one."""

Part = tuple[Mapping[str, Sequence[Any]] | None, Score, BaseException | None, int]
"""What a call gave, by name, None where it gave nothing; then the fault, its exception; and how many it was about."""


class Answers(NamedTuple):
    """What a function said of a batch: the scores of each reward, and by name what none of them takes."""

    columns: dict[str, Column]
    extra: dict[str, list[Any]]


def lacking(key: str, there: Collection[str]) -> str:
    """The error of a score that was asked for by a name which nothing that was returned has had so far."""
    return f"returned no {key!r}, only {', '.join(map(repr, there))}{_SPARSE if there else ''}"


_SPARSE = "; if only some completions have it and none did so far, say on_error: abstain"


class Asked:
    """A source with its form and its runner.

    Args:
        reward: the first that takes its scores; more are put into ``rewards``.
        loop: where a coroutine function of the user's runs, if it runs in this process.

    Raises:
        ConfigError: the form is not known, the function does not take what it passes, or cannot be run apart.
    """

    def __init__(self, reward: NamedReward, loop: EventLoop) -> None:
        self.source: Source = reward.source
        self.rewards = [reward]
        self._warned: set[str] = set()
        self._seen: dict[str, None] = {}
        self._place = reward.source.place
        try:
            detected = detect(self.source.target, self.source.form)
            self.form, self.reason = detected.form, str(detected)
            self._function = self.form.bind(self.source.target, self.source.options)
            self.runner, self.alongside = self._runner(loop)
        except ConfigError as error:
            raise ConfigError(f"reward {reward.name!r}: {error}") from error

    def ask(self, batch: RewardBatch) -> Answers:
        """The scores of each reward.

        A key that some completions have and others lack is a score of the ones and an abstention of the others,
        however many a call is about. A key that none has had so far is a fault.
        """
        best = getattr(self.source.target, "batch_size", None)  # a judge's: each completion has a status of its own
        size = max(1, (self.source.limits.batch_size or best or len(batch)) if self.form.whole else 1)
        parts = [batch.part(start, start + size) for start in range(0, len(batch), size)]
        replies = self.runner.run([self.form.call(part, self._function) for part in parts])
        read = [self._read(reply, len(part)) for part, reply in zip(parts, replies, strict=True)]
        for columns, *_ in read:
            self._seen |= dict.fromkeys(columns or ())
        return Answers({reward.name: self._column(reward, read) for reward in self.rewards}, self._extra(read))

    def _read(self, reply: Reply, size: int) -> Part:
        if reply.status is not None:
            fault = Score(None, reply.status, reply.error, reply.place or self._place)
            return None, fault, reply.exception, size
        try:
            return self.form.read(reply.value, size), Score(None, ABSTAINED), None, size
        except Unreadable as error:
            return None, Score(None, INVALID, str(error), self._place), error, size

    def _column(self, reward: NamedReward, parts: Sequence[Part]) -> Column:
        scores: list[Score] = []
        cause: BaseException | None = None
        for columns, fault, exception, size in parts:
            if columns is None:
                scores += [fault] * size
                cause = cause or exception
                continue
            key = next(iter(columns)) if reward.key is None else reward.key
            if key in columns:
                scores += [self._adjusted(reward, read_turns(entry, reward.turns)) for entry in columns[key]]
            elif key in self._seen:
                scores += [Score(None, ABSTAINED)] * size
            else:
                scores += [Score(None, INVALID, lacking(key, columns), self._place)] * size
        return scores, cause

    def _adjusted(self, reward: NamedReward, score: Score) -> Score:
        if score.turns is not None:
            each = tuple(self._adjusted(reward, turn) for turn in score.turns)
            return replace(score, turns=each, place=self._place)
        if score.status == SCORED and score.value is not None:
            score = read_score(reward.adjusted(score.value))  # scaling may leave what float32 holds
        return replace(score, place=self._place) if score.status == INVALID else score

    def _runner(self, loop: EventLoop) -> tuple[Runner, bool]:
        """What makes the calls, and whether it can do so while others make theirs."""
        limits, target = self.source.limits, self.source.target
        together = limits.concurrency
        times: dict[str, Any] = {"timeout": limits.timeout, "batch_timeout": limits.batch_timeout}
        # One that waits for a server never blocks; a loop that others block is not its.
        if getattr(target, "waits", False):
            return Inline(self._function, concurrency=together, **times), True
        if limits.apart:
            where = Target(self.source.importable(), self.source.form or self.form.name, self.source.options)
            return Pool(where, workers=limits.workers or 1, concurrency=together, **times), True
        return Inline(self._function, concurrency=together, loop=loop), is_async(self._function)

    def _extra(self, parts: Sequence[Part]) -> dict[str, list[Any]]:
        """What is there by names that no reward takes, None where a completion has none; scores among it are told.

        A column that says again what the main one does is left out.
        """
        mains = {next(iter(columns)) for columns, *_ in parts if columns}
        taken = {*mains, *(reward.key for reward in self.rewards if reward.key is not None)}
        names = dict.fromkeys(name for columns, *_ in parts for name in columns or () if name not in taken)
        extra = {
            name: [entry for columns, _, _, size in parts for entry in (columns or {}).get(name, [None] * size)]
            for name in names
        }
        main = [
            read_score(e)
            for columns, *_, size in parts
            for e in (next(iter(columns.values())) if columns else [None] * size)
        ]
        for name, column in [*extra.items()]:
            scores = [read_score(entry) for entry in column]
            if scores == main:
                del extra[name]
            elif name not in self._warned and any(score.status == SCORED for score in scores):
                self._warned.add(name)
                _log.warning(
                    "the function of reward %r returns %r too, which no reward takes; to train on it or to watch it, "
                    "add a reward with the same function and key: %s",
                    self.rewards[0].name,
                    name,
                    name,
                )
        return extra

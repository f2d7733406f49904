"""One reward function asked about a batch, for all the rewards that take its scores."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from concord.core.errors import ConfigError
from concord.core.status import INVALID, SCORED
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Reply, Runner
from concord.rewards.forms.detect import detect
from concord.rewards.forms.form import Unreadable
from concord.rewards.named import NamedReward
from concord.rewards.runners.calling import is_async
from concord.rewards.runners.inline import Inline
from concord.rewards.runners.pool import Pool
from concord.rewards.runners.target import Target
from concord.rewards.scores import Score, read_score
from concord.rewards.source import Source
from concord.rewards.turn_scores import read_turns

_log = logging.getLogger(__name__)

Column = tuple[list[Score], BaseException | None]
"""A reward's scores, and the exception behind the first fault where there is one."""


class Asked:
    """A source with its form and its runner.

    Args:
        reward: the first that takes its scores; more are put into ``rewards``.

    Raises:
        ConfigError: the form is not known, the function does not take what it passes, or cannot be run apart.
    """

    def __init__(self, reward: NamedReward) -> None:
        self.source: Source = reward.source
        self.rewards = [reward]
        self._warned: set[str] = set()
        try:
            detected = detect(self.source.target, self.source.form)
            self.form, self.reason = detected.form, str(detected)
            self._function = self.form.bind(self.source.target, self.source.options)
            self.runner, self.alongside = self._runner()
        except ConfigError as error:
            raise ConfigError(f"reward {reward.name!r}: {error}") from error

    def ask(self, batch: RewardBatch) -> dict[str, Column]:
        """The scores of each reward."""
        best = getattr(self.source.target, "batch_size", None)  # a judge's: each completion has a status of its own
        size = max(1, (self.source.limits.batch_size or best or len(batch)) if self.form.whole else 1)
        parts = [batch.part(start, start + size) for start in range(0, len(batch), size)]
        replies = self.runner.run([self.form.call(part, self._function) for part in parts])
        found: dict[str, Column] = {reward.name: ([], None) for reward in self.rewards}
        for part, reply in zip(parts, replies, strict=True):
            for name, (scores, cause) in self._read(reply, len(part)).items():
                found[name] = found[name][0] + scores, found[name][1] or cause
        return found

    def _read(self, reply: Reply, size: int) -> dict[str, Column]:
        if reply.status is not None:
            fault = Score(None, reply.status, reply.error)
            return {reward.name: ([fault] * size, reply.exception) for reward in self.rewards}
        try:
            columns = self.form.read(reply.value, size)
        except Unreadable as error:
            return {reward.name: ([Score(None, INVALID, str(error))] * size, error) for reward in self.rewards}
        self._say_unclaimed(columns)
        return {reward.name: (_column(reward, columns, size), None) for reward in self.rewards}

    def _runner(self) -> tuple[Runner, bool]:
        """What makes the calls, and whether it can do so while others make theirs."""
        limits, target = self.source.limits, self.source.target
        together = limits.concurrency
        times = {"timeout": limits.timeout, "batch_timeout": limits.batch_timeout}
        if getattr(target, "waits", False):  # for a server: it never blocks
            return Inline(self._function, concurrency=together, **times), True
        if limits.apart:
            where = Target(self.source.importable(), self.form.name, self.source.options)
            return Pool(where, workers=limits.workers or 1, concurrency=together, **times), True
        return Inline(self._function, concurrency=together), is_async(self._function)

    def _say_unclaimed(self, columns: Mapping[str, Sequence[Any]]) -> None:
        """Warn, once, of scores that are numbers of their own and that nobody has asked for."""
        main = next(iter(columns))
        taken = {reward.key or main for reward in self.rewards} | self._warned
        for name, column in columns.items():
            if name in taken or column == columns[main] or read_score(column[0]).status != SCORED:
                continue
            self._warned.add(name)
            _log.warning(
                "the function of reward %r returns %r too, which no reward takes; to train on it or to watch it, "
                "add a reward with the same function and key: %s",
                self.rewards[0].name,
                name,
                name,
            )


def _column(reward: NamedReward, columns: Mapping[str, Sequence[Any]], size: int) -> list[Score]:
    key = next(iter(columns)) if reward.key is None else reward.key
    if key not in columns:
        return [Score(None, INVALID, f"returned no {key!r}, only {', '.join(map(repr, columns))}")] * size
    return [_adjusted(reward, read_turns(entry, reward.turns)) for entry in columns[key]]


def _adjusted(reward: NamedReward, score: Score) -> Score:
    if score.turns is not None:
        return replace(score, turns=tuple(_adjusted(reward, replace(turn, turns=None)) for turn in score.turns))
    if score.status != SCORED or score.value is None:
        return score
    return read_score(reward.adjusted(score.value))  # scaling may leave what float32 holds

"""Several rewards asked about one batch: each function called once, whatever happens to the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.printable import printable
from concord.core.redaction import redact
from concord.core.rollouts import Rollouts
from concord.core.status import FAULTS
from concord.rewards.asked import Answers, Asked, Column
from concord.rewards.batch import RewardBatch
from concord.rewards.failures import Failures, to_stderr
from concord.rewards.gate import Gates
from concord.rewards.judge import judge
from concord.rewards.named import NamedReward, check_distinct
from concord.rewards.runners.answer import traceback_text
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.scores import Score, Scored
from concord.rewards.turn_scores import at_turns, check_counts, whole_rollouts_only


class RewardSet:
    """The rewards of a run.

    Args:
        rewards: with distinct names; those whose sources are equal share the calls.
        say: gets the lines about failures, see :class:`concord.rewards.failures.Failures`.

    Attributes:
        rewards: as given.
        failures: of all batches so far.

    Raises:
        DuplicateName: two rewards of one name.
        ConfigError: a function whose form is not known, or that cannot take what its form passes.

    Example:
        >>> shout = NamedReward("shout", lambda completions, **_: [c.isupper() for c in completions])
        >>> scored = RewardSet([shout]).score(RewardBatch(["", ""], ["HEY", "hey"]))
        >>> scored.values, scored.statuses
        ({'shout': [1.0, 0.0]}, {'shout': ['scored', 'scored']})
    """

    def __init__(self, rewards: Sequence[NamedReward], say: Callable[[str], None] = to_stderr) -> None:
        check_distinct([reward.name for reward in rewards])
        self.rewards = tuple(rewards)
        self.failures = Failures(self.rewards, say)
        # One loop for all coroutine functions, as in TRL: those of one file may share a client or a semaphore.
        self._loop = EventLoop()
        self._asked: list[Asked] = []
        for reward in rewards:
            same = next((asked for asked in self._asked if asked.source == reward.source), None)
            if same is None:
                self._asked.append(Asked(reward, self._loop))
            else:
                same.rewards.append(reward)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(reward.name for reward in self.rewards)

    @property
    def forms(self) -> dict[str, str]:
        """By reward, the form its function has and how that was decided, for printing."""
        return {reward.name: asked.reason for asked in self._asked for reward in asked.rewards}

    def weights(self, step: int) -> dict[str, float]:
        """The weights in force at an optimisation step."""
        return {reward.name: reward.weight_at(step) for reward in self.rewards}

    @property
    def noise_floor(self) -> dict[str, float]:
        """The rewards' noise floors by name, for :class:`concord.Rollouts`."""
        return {reward.name: reward.noise_floor for reward in self.rewards if reward.noise_floor}

    def score(self, batch: RewardBatch, step: int = 0) -> Scored:
        """Ask all rewards about a batch at an optimisation step.

        Functions in processes of their own and coroutine functions run at the same time, the others one after
        another. Never raises for what a function does: whether it stops the run, :func:`judge` says.

        Raises:
            ConfigError: a reward with ``turns: each``, for which see :meth:`by_turn`.
        """
        for reward in self.rewards:
            whole_rollouts_only(reward.name, reward.turns)
        answers = self._ask(batch)
        return self._scored(_columns(answers), step, self._extra(answers))

    def by_turn(
        self, batch: RewardBatch, turns: Sequence[int], groups: Groups | None = None, step: int = 0
    ) -> Rollouts:
        """Ask all rewards about whole rollouts, and make a row of each of their turns.

        A reward with ``turns: each`` scores a turn by itself. The score of any other stands on each row of its
        rollout, as the outcome does in the methods that take turns as rows. Policies and gates are applied row by
        row.

        Args:
            batch: of N rollouts.
            turns: how many each of them has.
            groups: which of them answer the same prompt; None = those whose prompts are equal.
            step: of optimisation.

        Returns:
            The rows in the order of rollouts and turns, with the columns ``trajectory``, the rollout's number, and
            ``turn``, counted from 0.

        Raises:
            BatchError: the counts do not fit the batch.
            RewardError: a reward failed more often than it may; a row counts as a score.
            ConfigError: a gate that does not fit.
        """
        check_counts(turns, len(batch))
        found = _columns(self._ask(batch))
        columns: dict[str, Column] = {
            name: ([turn for score, count in zip(scores, turns, strict=True) for turn in at_turns(score, count)], cause)
            for name, (scores, cause) in found.items()
        }
        values = self._values(self._scored(columns, step))
        trajectory = torch.arange(len(batch)).repeat_interleave(torch.tensor(turns, dtype=torch.int64))
        turn = torch.tensor([number for count in turns for number in range(count)], dtype=torch.int64)
        of = Groups.of([repr(prompt) for prompt in batch.prompts]) if groups is None else groups
        rows = Groups.of(of.index.cpu()[trajectory].tolist())
        return Rollouts(values.float(), rows, self.names, {"trajectory": trajectory, "turn": turn})

    def counted(self, batch: RewardBatch, step: int = 0) -> dict[str, list[float | None]]:
        """The scores as they count, by reward, for a loop of one process: policies and gates applied.

        Raises:
            RewardError: a reward failed more often than it may.
            ConfigError: a gate that does not fit.
        """
        values = self._values(self.score(batch, step))
        return {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in zip(self.names, values.T.tolist(), strict=True)
        }

    def _ask(self, batch: RewardBatch) -> list[Answers]:
        """What each function said of the batch."""
        apart = [asked for asked in self._asked if asked.alongside]
        with ThreadPoolExecutor(max(1, len(apart))) as threads:
            pending = {id(asked): threads.submit(asked.ask, batch) for asked in apart}
            return [pending[id(a)].result() if id(a) in pending else a.ask(batch) for a in self._asked]

    def _extra(self, answers: Sequence[Answers]) -> dict[str, list[Any]]:
        """What no reward takes, by names of which each is there once."""
        extra: dict[str, list[Any]] = {}
        for asked, said in zip(self._asked, answers, strict=True):
            for name, column in said.extra.items():
                extra[name if name not in extra else f"{asked.rewards[0].name}/{name}"] = column
        return extra

    def _scored(self, columns: Mapping[str, Column], step: int, extra: dict[str, list[Any]] | None = None) -> Scored:
        """What was said as it counts; faults are told."""
        scored = Scored({}, {}, {}, {}, extra={} if extra is None else extra)
        for reward in self.rewards:
            self._put(scored, reward, *columns[reward.name], step)
        return scored

    def _put(
        self, scored: Scored, reward: NamedReward, column: list[Score], cause: BaseException | None, step: int
    ) -> None:
        """One reward's column, with what counts instead of faults; faults are told."""
        name, instead = reward.name, reward.instead(step)
        scored.values[name] = [instead if score.status in FAULTS else score.value for score in column]
        scored.statuses[name] = [score.status for score in column]
        fault = next((score for score in column if score.status in FAULTS), None)
        if fault is not None:
            scored.errors[name] = printable(redact(fault.error or fault.status))
            if fault.place is not None:
                scored.places[name] = printable(fault.place)
            if cause is not None:
                scored.causes[name] = cause
        self.failures.see(name, step, column, None if cause is None else traceback_text(cause))

    def _values(self, scored: Scored) -> Tensor:
        """``[N, K]`` float64 behind the gates, NaN where there is no score; or the error that stops the run."""
        judge(self.rewards, {name: Counter(words) for name, words in scored.statuses.items()}, scored)
        gates = Gates(self.names, {reward.name: reward.gate for reward in self.rewards})
        columns = [[math.nan if value is None else value for value in scored.values[name]] for name in self.names]
        values, _ = gates(torch.tensor(columns, dtype=torch.float64).T)
        return values

    def close(self) -> None:
        """End worker processes and the event loop, and say how many scores were lost; the set is not used again."""
        for asked in self._asked:
            asked.runner.close()
        self._loop.close()
        self.failures.tell()


def _columns(answers: Sequence[Answers]) -> dict[str, Column]:
    return {name: column for said in answers for name, column in said.columns.items()}

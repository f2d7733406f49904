"""Several rewards asked about one batch: each function called once, whatever happens to the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from concord.core.printable import printable
from concord.core.status import FAULTS
from concord.rewards.asked import Asked
from concord.rewards.batch import RewardBatch
from concord.rewards.failures import Failures, to_stderr
from concord.rewards.gate import Gates
from concord.rewards.judge import judge
from concord.rewards.named import NamedReward, check_distinct
from concord.rewards.runners.answer import traceback_text
from concord.rewards.runners.event_loop import EventLoop
from concord.rewards.scores import Score, Scored


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

    def score(self, batch: RewardBatch, step: int = 0) -> Scored:
        """Ask all rewards about a batch at an optimisation step.

        Functions in processes of their own and coroutine functions run at the same time, the others one after
        another. Never raises for what a function does: whether it stops the run, :func:`judge` says.
        """
        apart = [asked for asked in self._asked if asked.alongside]
        with ThreadPoolExecutor(max(1, len(apart))) as threads:
            pending = {id(asked): threads.submit(asked.ask, batch) for asked in apart}
            replies = [pending[id(a)].result() if id(a) in pending else a.ask(batch) for a in self._asked]
        scored = Scored({}, {}, {}, {})
        for asked, answers in zip(self._asked, replies, strict=True):
            for name, column in answers.extra.items():
                free = name if name not in scored.extra else f"{asked.rewards[0].name}/{name}"
                scored.extra[free] = column
        columns = {name: column for answers in replies for name, column in answers.columns.items()}
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
            scored.errors[name] = printable(fault.error or fault.status)
            if fault.place is not None:
                scored.places[name] = printable(fault.place)
            if cause is not None:
                scored.causes[name] = cause
        self.failures.see(name, step, column, None if cause is None else traceback_text(cause))

    def counted(self, batch: RewardBatch, step: int = 0) -> dict[str, list[float | None]]:
        """The scores as they count, by reward, for a loop of one process: policies and gates applied.

        Raises:
            RewardError: a reward failed more often than it may.
            ConfigError: a gate that does not fit.
        """
        scored = self.score(batch, step)
        judge(self.rewards, {name: Counter(words) for name, words in scored.statuses.items()}, scored)
        gates = Gates(self.names, {reward.name: reward.gate for reward in self.rewards})
        columns = [[math.nan if value is None else value for value in scored.values[name]] for name in self.names]
        values, _ = gates(torch.tensor(columns, dtype=torch.float64).T)
        return {
            name: [None if math.isnan(value) else value for value in column]
            for name, column in zip(self.names, values.T.tolist(), strict=True)
        }

    def close(self) -> None:
        """End worker processes and the event loop, and say how many scores were lost; the set is not used again."""
        for asked in self._asked:
            asked.runner.close()
        self._loop.close()
        self.failures.tell()

"""A trainer's rewards: Concord's, asked together, and TRL's own reward models, in one order of columns."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from accelerate.utils import gather_object
from torch import Tensor, nn
from trl.trainer.utils import get_callable_name

from concord.core.errors import ConfigError
from concord.core.status import FAULTS, INVALID, SCORED, STATUSES
from concord.engines.trl.config import ConcordConfig
from concord.rewards import Gates, NamedReward, RewardBatch, RewardSet, Scored, check_distinct, judge
from concord.rewards.turn_scores import whole_rollouts_only

CONTEXT = ("trainer_state", "log_extra", "log_metric", "environments")
"""What TRL hands to reward functions beside completions and columns."""


TABLE = ("step", "prompt", "completion", "advantage")
"""The columns of TRL's table of completions that a reward must not replace."""


class Rewards:
    """What a trainer does with its rewards.

    Args:
        given: as ``GRPOTrainer`` takes them: one or a list; each a function in any known form, a
            :class:`NamedReward`, or a reward model or its name, which is TRL's to run. Or a :class:`RewardSet`.
        args: where the weights of plain functions and of models stand.

    Attributes:
        functions: for ``GRPOTrainer``. The first one that it calls asks all rewards, so that those that wait for
            others wait at the same time; each hands out its own scores.
        names: K, as TRL has them; known from :meth:`settle` on.
        logged: the columns that functions gave beside scores for the last batch, as they are named in TRL's log.
        gates: see :class:`concord.rewards.gate.Gates`.
    """

    names: tuple[str, ...]
    gates: Gates

    def __init__(self, given: Any, args: ConcordConfig) -> None:
        whole = given if isinstance(given, RewardSet) else None
        listed = whole.rewards if whole else given if isinstance(given, list) else [] if given is None else [given]
        mine = [reward if _is_trls(reward) else _named(reward) for reward in listed]
        named = [reward for reward in mine if isinstance(reward, NamedReward)]
        for reward in named:
            whole_rollouts_only(reward.name, reward.turns)
        self._set = whole or RewardSet(named)
        self._is_own = whole is None
        self._weighed = {reward.name for reward in listed if isinstance(reward, NamedReward)}
        self._args = args
        self._scored: Scored | None = None
        self.logged: set[str] = set()
        self.functions = [self._hand_out(r, named[0]) if isinstance(r, NamedReward) else r for r in mine]

    @property
    def noise_floor(self) -> dict[str, float]:
        """As :attr:`RewardSet.noise_floor`."""
        return self._set.noise_floor

    def tell(self) -> None:
        """Say how many scores were lost, unless a :class:`RewardSet` was given: whoever made it closes it."""
        if self._is_own:
            self._set.failures.tell()

    def settle(self, names: Sequence[str]) -> None:
        """Take the names that TRL has given its models, and check all that names are used for.

        Raises:
            DuplicateName, ConfigError: two rewards of one name; weights given twice; a gate that does not fit.
        """
        self.names = tuple(names)
        check_distinct(names)
        if twice := sorted(self._weighed & self._args.weights(self.names).keys()):
            raise ConfigError(f"the weight of reward {twice[0]!r} is given twice: with the reward, and in args")
        self.gates = Gates(self.names, {reward.name: reward.gate for reward in self._set.rewards})

    def weights(self, step: int) -> dict[str, float]:
        """The weights in force at an optimisation step, by name."""
        own = self._set.weights(step)
        # A name in args that no reward bears stays in: the chain refuses it.
        return dict.fromkeys(self.names, 1.0) | self._args.weights(self.names) | {n: own[n] for n in self._weighed}

    def statuses(self, scores: Tensor) -> Tensor:
        """``[n, K]`` uint8, indices of ``STATUSES``, for this process's part of the last batch.

        A score of TRL's own models is invalid where it is not finite.

        Args:
            scores: ``[n, K]``, what TRL made of the functions' answers.
        """
        codes = torch.where(scores.isfinite(), STATUSES.index(SCORED), STATUSES.index(INVALID))
        if self._scored is not None:
            for name, words in self._scored.statuses.items():
                codes[:, self.names.index(name)] = torch.tensor([STATUSES.index(word) for word in words]).to(codes)
        return codes.to(torch.uint8)

    def judge(self, statuses: Tensor) -> None:
        """Stop the run, in all processes at once, where a reward has failed more often than it may.

        Also agree on which columns were logged.

        Args:
            statuses: ``[N, K]``, gathered.

        Raises:
            RewardError: as :func:`concord.rewards.judge.judge`.
        """
        self.logged = set(gather_object(sorted(self.logged)))
        columns = dict(zip(self.names, statuses.T.tolist(), strict=True))
        counts = {name: Counter(STATUSES[code] for code in column) for name, column in columns.items()}
        scored = self._scored or Scored({}, {}, {}, {})
        if any(count.keys() & set(FAULTS) for count in counts.values()):
            errors: dict[str, str] = {}
            places: dict[str, str] = {}
            for said, at in reversed(gather_object([(scored.errors, scored.places)])):
                errors |= said
                places = {name: place for name, place in places.items() if name not in said} | at
            judge(self._set.rewards, counts, dataclasses.replace(scored, errors=errors, places=places))

    def _noting(self, log_extra: Callable[[str, list[Any]], None]) -> Callable[[str, list[Any]], None]:
        """TRL's hook, which writes down under which names it is called for this batch."""
        self.logged = set()

        def noting(column: str, values: list[Any]) -> None:
            log_extra(column, values)
            self.logged.add(column)

        return noting

    def _hand_out(self, reward: NamedReward, first: NamedReward) -> Callable[..., Any]:
        def scores(prompts: Any, completions: Any, completion_ids: Any, **more: Any) -> list[float | None]:
            if reward is first:
                context = {name: more.pop(name) for name in CONTEXT if name in more}
                log_extra = context["log_extra"] = self._noting(context["log_extra"])
                batch = RewardBatch(prompts, completions, completion_ids, more, context)
                self._scored = self._set.score(batch, context["trainer_state"].global_step)
                for name, column in self._scored.extra.items():
                    free = f"extra_{name}" if name in (*TABLE, *self.names) else name
                    if free not in self.logged:
                        log_extra(free, column)
            assert self._scored is not None
            return self._scored.values[reward.name]

        scores.__name__ = scores.__qualname__ = reward.name
        return scores


def _is_trls(reward: Any) -> bool:
    return isinstance(reward, str | nn.Module)


def _named(reward: Any) -> NamedReward:
    return reward if isinstance(reward, NamedReward) else NamedReward(get_callable_name(reward), reward)

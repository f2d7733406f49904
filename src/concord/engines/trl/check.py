"""What would go wrong after the first generation, met before it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence, Sized
from typing import Any

import torch
from torch import Tensor

from concord.core.chain import Chain
from concord.core.errors import ConfigError, nearest
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.engines.facts import RATIO_VARIANCE
from concord.engines.trl.config import ConcordConfig
from concord.engines.trl.hidden import HIDDEN
from concord.engines.trl.scoring import SCORED, SCORES
from concord.learners.critic import VALUES
from concord.methods import Method
from concord.stages import Sum

SUPPLIED = frozenset({"lengths", "truncated", "response_mask", RATIO_VARIANCE}) | SCORED
"""The columns that this engine gives a chain; a learner gets pooled hidden states too."""


def check_method(
    method: Method,
    args: ConcordConfig,
    rewards: Sequence[str],
    size: int,
    processes: int,
    columns: frozenset[str] = frozenset(),
) -> None:
    """Refuse a method that this engine cannot run, or cannot run with these arguments.

    Args:
        method: of the run.
        args: of the run.
        rewards: their names.
        size: rollouts a prompt.
        processes: how many train.
        columns: those that the user's functions give.

    Raises:
        ConfigError: it needs a column that nobody gives, whole groups where a micro-batch is a part of them, or scores
            within a group where a process has a part of it.
        BatchError: it names a reward that there is not.
    """
    learner = method.learner
    mine = SUPPLIED if learner is None else SUPPLIED | learner.writes | {HIDDEN}
    if taken := sorted(columns & mine):
        raise ConfigError(f"column {taken[0]!r} is the trainer's own; name the function's otherwise")
    if absent := sorted(method.needs - mine - columns):
        raise ConfigError(
            f"method {args.method!r} needs columns {absent}{nearest(absent[0], columns)}; there are "
            f"{sorted(mine | columns)}. Give functions that compute the missing ones as columns="
        )
    if SCORES in method.needs and args.generation_batch_size // processes % size:
        raise ConfigError(
            f"method {args.method!r} scores tokens within their group, so each process must have whole groups of "
            f"{size}; these are {processes} processes for {args.generation_batch_size} rollouts"
        )
    if method.objective.whole_groups and (processes > 1 or args.steps_per_generation > 1):
        raise ConfigError(
            f"the loss of method {args.method!r} looks at whole groups, so a micro-batch must be a whole generation "
            f"batch: run one process, with per_device_train_batch_size equal to generation_batch_size; these are "
            f"{processes} processes, {args.per_device_train_batch_size} and {args.generation_batch_size} rollouts"
        )
    if learner is not None:
        learner.check(rewards)
    blank_outcome(method, rewards, size, columns)


def blank_outcome(method: Method, rewards: Sequence[str], size: int, columns: frozenset[str] = frozenset()) -> Outcome:
    """Of the chain on a blank group, up to the first stage that reads what a function of the user's gives."""
    stages = tuple(itertools.takewhile(lambda stage: not stage.needs & columns, method.signal.stages))
    if not any(isinstance(stage, Sum) for stage in stages):
        stages = (*stages, Sum())
    names = tuple(rewards)
    return Chain(stages)(Rollouts(torch.zeros(size, len(names)), Groups.uniform(1, size), names, _blank(method, size)))


def _blank(method: Method, size: int) -> dict[str, Tensor]:
    """Columns for a trial of the chain, one token a rollout."""
    learnt = frozenset() if method.learner is None else method.learner.writes
    nothing, token = torch.full((size,), math.nan), torch.zeros(size, 1)
    return {
        **dict.fromkeys(learnt, nothing),
        **dict.fromkeys(method.signal.needs & (SCORED | {VALUES}), token),
        "lengths": torch.ones(size),
        "truncated": torch.zeros(size, dtype=torch.bool),
        "response_mask": torch.ones(size, 1, dtype=torch.bool),
        RATIO_VARIANCE: nothing,
    }


def check_data(data: Any, args: ConcordConfig, size: int, *, images: bool, environments: bool) -> None:
    """Refuse training data that a run would fail on.

    Raises:
        ConfigError: no prompts, or too few of them for one generation batch; data that ``refill_rounds`` cannot draw
            from.
    """
    if args.refill_rounds and (not isinstance(data, Sized) or images):
        raise ConfigError("refill_rounds draws further prompts at random: text prompts in an indexed dataset only")
    columns, count = data.column_names, args.generation_batch_size
    if columns is not None and "prompt" not in columns and not environments:
        raise ConfigError(f"the training data has columns {columns}, none named 'prompt'" + nearest("prompt", columns))
    if isinstance(data, Sized) and len(data) < count // size:
        raise ConfigError(
            f"one generation batch is {count // size} prompts of {size} rollouts, the training data has "
            f"{len(data)}; lower generation_batch_size or give more prompts"
        )

"""NeMo-RL's environments, asked for one step: the reply is scored, and nothing is generated after it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.forms.chat import completion_messages, prompt_messages
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.options import instance, with_options
from concord.rewards.forms.parameters import as_function, by_position, check_known, returning, title
from concord.rewards.forms.recognise import found
from concord.rewards.forms.returned import MAIN, entries, shown
from concord.rewards.forms.single import answer_of, row_of

_PASSED = ("message_log_batch", "metadata")
_METADATA = ("metadata", "extra_env_info")
_REWARDS = 3
"""The place of the rewards in what a step returns."""


class Environment:
    """``class E: def step(self, message_log_batch, metadata) -> EnvironmentReturn``, an object of it, or a function.

    One call for many completions, by position: ``message_log_batch`` holds the conversations with the completions at
    their ends; ``metadata`` holds for each a mapping of the data's columns, ``ground_truth`` (else ``answer`` and its
    like) and what the column ``metadata`` or ``extra_env_info`` has.

    A class is instantiated: options that ``__init__`` names go there, the others into its ``cfg``; of a class for Ray
    the class beneath. Of what the step returns the rewards count, its fourth entry or its attribute; several rewards a
    completion (``[N, R]``) are the columns ``reward1`` to ``rewardR`` and, as the main one, their sum.

    Source: ``EnvironmentInterface`` and ``EnvironmentReturn`` of NeMo-RL, 2026.
    """

    name: ClassVar[str] = "nemo-env"
    framework: ClassVar[str] = "NeMo-RL"
    whole: ClassVar[bool] = True
    signature: ClassVar[str] = "class E: def step(self, message_log_batch, metadata)"

    def fits(self, target: Any) -> str | None:
        """A parameter ``message_log_batch``, of the function or of the method ``step``."""
        if reason := found(target, *_PASSED) if found(target, _PASSED[0]) else None:
            return reason
        step = getattr(_plain_class(target), "step", None)
        return f"step() has {found(step, *_PASSED)}" if step is not None and found(step, _PASSED[0]) else None

    def of(self, target: Any) -> Environment:
        """This one."""
        return self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if the class cannot be instantiated, or its step does not take two by position."""
        target = _plain_class(target)
        made = inspect.isclass(target)
        holder = instance(target, options) if made else target
        function = as_function(getattr(holder, "step", holder))
        passed = by_position(function)[:2]
        if len(passed) < 2:
            raise ConfigError(f"{title(function)} does not take what NeMo-RL passes by position: {', '.join(_PASSED)}")
        function = returning(function, _rewards)
        function = function if made else with_options(function, options, passed, self.framework)
        check_known(function, passed, self.framework)
        return function

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """The conversations and the metadata, under the names that the function has for them."""
        logs = [
            [*prompt_messages(prompt), *completion_messages(completion)]
            for prompt, completion in zip(batch.prompts, batch.completions, strict=True)
        ]
        first, second = by_position(function)[:2]
        return Call({first: logs, second: [_metadata(batch, index) for index in range(len(batch))]}, len(batch))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``; of several rewards a completion also ``reward1`` and so on."""
        rows = entries(value, size)
        widths = {len(row) if isinstance(row, list | tuple) else 1 for row in rows}
        if widths <= {1}:
            return {MAIN: rows}
        if len(widths) > 1 or not all(isinstance(entry, int | float) for row in rows for entry in row):
            raise Unreadable(f"returned rewards that are no numbers, or not as many for each: {shown(rows)}")
        parts = {f"reward{place + 1}": [row[place] for row in rows] for place in range(widths.pop())}
        return {MAIN: [sum(row) for row in rows], **parts}


def _plain_class(target: Any) -> Any:
    """The class beneath one that Ray has made an actor of."""
    return getattr(getattr(target, "__ray_metadata__", None), "modified_class", target)


def _metadata(batch: RewardBatch, index: int) -> dict[str, Any]:
    row = row_of(batch, index)
    has, answer = answer_of(row, "ground_truth")
    further: Mapping[str, Any] = next((row[name] for name in _METADATA if isinstance(row.get(name), Mapping)), {})
    return {**row, **({"ground_truth": answer} if has else {}), **further}


def _rewards(returned: Any) -> Any:
    """The rewards of what a step returned, as lists where they are a tensor or an array."""
    if hasattr(returned, "rewards"):
        rewards = returned.rewards
    elif isinstance(returned, tuple) and len(returned) > _REWARDS:
        rewards = returned[_REWARDS]
    else:
        raise TypeError(f"step() returned {shown(returned)}; NeMo-RL's returns observations, metadata, stops, rewards")
    return rewards.tolist() if hasattr(rewards, "tolist") else rewards

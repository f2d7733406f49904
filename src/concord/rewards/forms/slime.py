"""slime's form, and miles's: ``custom_rm`` with arguments and a sample, or the samples of a group."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction
from concord.rewards.completions import completion_text
from concord.rewards.forms.chat import prompt_text
from concord.rewards.forms.groups import group_scores, plain, settled
from concord.rewards.forms.options import Arguments
from concord.rewards.forms.parameters import as_function, by_position, check_known, title
from concord.rewards.forms.recognise import names
from concord.rewards.forms.returned import MAIN, entries, joined
from concord.rewards.forms.sample import sample_of


class Slime:
    """``async def custom_rm(args, sample, **kwargs) -> float | dict``; a plain function goes too.

    One call for each completion, by position: ``args`` has the options as attributes, ``sample`` is a
    :class:`~concord.rewards.forms.sample.Sample`, with the text of the prompt (no chat template is applied).

    Returns a number or None; or a mapping: its columns are ``score`` and its other names. Where it has no ``score`` the
    main column holds the mapping itself, which is no score, as in slime without ``reward_key``: say ``key:``.

    Source: ``async_rm`` of slime and miles, August 2026.
    """

    name: ClassVar[str] = "slime"
    framework: ClassVar[str] = "slime"
    whole: ClassVar[bool] = False
    signature: ClassVar[str] = "custom_rm(args, sample, **kwargs)"

    def fits(self, target: Any) -> str | None:
        """The first two parameters are ``args`` and ``sample`` or ``samples``."""
        first = names(target)[:2]
        return f"parameters {', '.join(first)}" if first in (["args", "sample"], ["args", "samples"]) else None

    def of(self, target: Any) -> Slime:
        """For ``samples`` the form for groups."""
        return SlimeGroup() if names(target)[1:2] == ["samples"] else self

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """Raises ConfigError if it does not take two by position, or needs more."""
        function = as_function(target)
        passed = by_position(function)[:2]
        # *args stand for both, as in a function that only hands them on.
        if len(passed) < 2 and not any(
            p.kind is p.VAR_POSITIONAL for p in inspect.signature(function).parameters.values()
        ):
            raise ConfigError(f"{title(function)} does not take what slime passes by position: args, sample")
        check_known(function, passed, self.framework)
        args, group, coroutine = Arguments(**options), self.of(target).whole, inspect.iscoroutinefunction(function)

        async def scored(rows: Sequence[Mapping[str, Any]]) -> Any:
            samples = [sample_of(row, args, function) for row in rows]
            if not group:
                return await settled(function(args, samples[0]))
            return await group_scores(
                [row["prompt"] for row in rows],
                lambda indices: settled(function(args, [samples[index] for index in indices])),
                coroutine,
            )

        return scored if coroutine else plain(scored)

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """Plain data; the samples are made of them where the function runs."""
        rows = [
            {
                "prompt": prompt_text(prompt),
                "response": completion_text(completion),
                "tokens": None if batch.completion_ids is None else list(batch.completion_ids[index]),
                "columns": {name: column[index] for name, column in batch.columns.items()},
            }
            for index, (prompt, completion) in enumerate(zip(batch.prompts, batch.completions, strict=True))
        ]
        return Call({"rows": rows}, len(rows))

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``, and those of a mapping's names."""
        return joined([_row(value)])


class SlimeGroup(Slime):
    """``async def custom_rm(args, samples, **kwargs) -> list[float | dict]``, as with ``--group-rm``.

    One call of ours for many completions, in which the function is called once for the samples of each prompt.
    """

    whole: ClassVar[bool] = True

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """The column ``score``, and those of the mappings' names; None where a completion has no such entry."""
        return joined([_row(entry) for entry in entries(value, size)])


def _row(value: Any) -> Mapping[str, Any]:
    """What was returned for one completion, by name."""
    return {MAIN: value, **value} if isinstance(value, Mapping) else {MAIN: value}

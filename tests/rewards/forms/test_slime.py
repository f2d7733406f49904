"""slime's form, and miles's: one sample, and the samples of a group."""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from concord.core.errors import ConfigError, MissingColumn
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.sample import Sample
from concord.rewards.forms.slime import Slime, SlimeGroup
from tests.rewards.forms.asking import CHATS, ask, with_columns


async def custom_rm(args: Any, sample: Any, **kwargs: Any) -> float | None:
    return None if sample.response.isalpha() else float(sample.response == sample.label)


def plain_rm(args: Any, sample: Any) -> float | None:
    return None if sample.response.isalpha() else float(sample.response == sample.label)


async def graded(args: Any, sample: Any, **kwargs: Any) -> dict[str, Any]:
    return {"acc": sample.response == sample.label, "score": args.scale * len(sample.response)}


async def rank(args: Any, samples: list[Any], **kwargs: Any) -> list[int]:
    """Of the samples of one prompt, which has the longest response."""
    assert len({sample.prompt for sample in samples}) == 1
    longest = max(len(sample.response) for sample in samples)
    return [int(len(sample.response) == longest) for sample in samples]


def plain_rank(args: Any, samples: list[Any]) -> list[int]:
    longest = max(len(sample.response) for sample in samples)
    return [int(len(sample.response) == longest) for sample in samples]


@pytest.mark.parametrize("function", [custom_rm, plain_rm, functools.partial(custom_rm, extra=1)])
def test_a_number_for_each_sample(function: Any) -> None:
    assert ask(function) == {"score": [1.0, None, 1.0]}


def test_a_mapping_gives_several_columns_and_options_are_args() -> None:
    assert ask(graded, scale=2) == {"score": [2, 6, 2], "acc": [True, False, True]}


def test_an_argument_that_is_not_under_options_is_named() -> None:
    with pytest.raises(AttributeError, match=r"reads args.scale, which is not under options:; did you mean 'scael'"):
        ask(graded, scael=2)


def test_a_mapping_without_score_needs_a_key() -> None:
    assert Slime().read({"f1": 0.5, "em": 0}, 1) == {"score": [{"f1": 0.5, "em": 0}], "f1": [0.5], "em": [0]}


@pytest.mark.parametrize("function", [rank, plain_rank])
def test_a_group_function_is_asked_about_one_prompt_at_a_time(function: Any) -> None:
    batch = RewardBatch(["a", "b", "a", "b", "c"], ["x", "xx", "xxx", "x", "x"])
    assert ask(function, batch) == {"score": [0, 1, 1, 0, 1]}


def test_a_group_function_must_score_each_sample_of_the_group() -> None:
    with pytest.raises(Unreadable, match="returned 1 score for 2 completions"):
        ask(lambda args, samples: [1.0])


def test_a_group_function_may_return_mappings() -> None:
    def rm(args: Any, samples: list[Any]) -> list[Any]:
        return [{"score": 1, "acc": 0}, 2][: len(samples)]

    assert ask(rm) == {"score": [1, 2, 1], "acc": [0, None, 0]}
    with pytest.raises(Unreadable, match="returned"):
        SlimeGroup().read({"score": 1}, 2)


def test_the_sample_has_what_slimes_has() -> None:
    async def reads(args: Any, sample: Any) -> Any:
        return (
            sample.prompt + sample.response,
            sample.label,
            sample.tokens[-sample.response_length :],
            sample.metadata["level"],
            sample.status is sample.Status.COMPLETED,
            sample.reward,
            getattr(sample, "tool_calls", 0),
        )

    batch = with_columns(label=["a", "b", "c"], metadata=[{"level": 1}, {"level": 2}, {"level": 3}], answer=[""] * 3)
    assert ask(reads, batch)["score"][1] == ("1 + 1?two", "b", [7, 8], 2, True, None, 0)


def test_a_chat_prompt_is_its_text_and_unknown_tokens_are_none() -> None:
    async def reads(args: Any, sample: Any) -> Any:
        return sample.prompt, sample.response, sample.tokens, sample.response_length, sample.metadata

    assert ask(reads, CHATS)["score"] == [("Count.\n1 + 1?\n", "2", None, None, {})]


def test_label_key_and_metadata_key_are_slimes_own_arguments() -> None:
    async def reads(args: Any, sample: Any) -> Any:
        return sample.label, sample.metadata

    batch = with_columns(CHATS, gold=["7"], label=["8"], info=[{"a": 1}])
    assert ask(reads, batch, label_key="gold", metadata_key="info")["score"] == [("7", {"a": 1})]
    assert ask(reads, batch)["score"] == [("8", {})]
    with pytest.raises(MissingColumn, match=r"option label_key of reads.. is 'glod', .*did you mean 'gold'"):
        ask(reads, batch, label_key="glod")


def test_a_reward_that_insists_on_its_frameworks_sample_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Theirs(Sample):
        pass

    Theirs.__module__ = "slime.utils.types"
    module = ModuleType("users_reward")
    module.Sample = Theirs  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "users_reward", module)

    def insists(args: Any, sample: Any) -> bool:
        return type(sample) is Theirs

    assert ask(insists)["score"] == [False] * 3
    insists.__module__ = "users_reward"
    assert ask(functools.partial(insists))["score"] == [True] * 3


def test_arguments_that_are_only_handed_on() -> None:
    async def hands_on(*args: Any, **kwargs: Any) -> Any:
        return await custom_rm(*args, **kwargs)

    assert ask(hands_on, form="slime") == {"score": [1.0, None, 1.0]}


def test_functions_that_slime_could_not_call() -> None:
    with pytest.raises(ConfigError, match=r"does not take what slime passes by position: args, sample"):
        Slime().bind(lambda args: 0.0, {})
    with pytest.raises(ConfigError, match="needs 'judge', which slime does not pass"):
        Slime().bind(lambda args, sample, judge: 0.0, {})


def test_a_plain_function_that_returns_something_to_wait_for() -> None:
    class Slow:
        def __await__(self) -> Any:
            yield

    with pytest.raises(TypeError, match="returned something that waits; define it with async def"):
        ask(lambda args, sample: Slow())

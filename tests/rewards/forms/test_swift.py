"""ms-swift's form: classes and instances."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.swift import Swift
from tests.rewards.forms.asking import ANSWERS, CHATS, ask, with_columns

SOLVED = with_columns(solution=["2", "2", "5"])


class ORM:
    """The shape of ms-swift's base class."""

    def __init__(self, args: Any = None, **kwargs: Any) -> None:
        self.args = args


class AsyncORM(ORM):
    pass


class Solution(ORM):
    def __call__(self, completions: list[str], solution: list[str], **kwargs: Any) -> list[float | None]:
        return [None if c.isalpha() else float(c == s) for c, s in zip(completions, solution, strict=True)]


class Later(AsyncORM):
    async def __call__(self, completions: list[str], solution: list[str], **kwargs: Any) -> list[float | None]:
        return Solution()(completions, solution)


class Repetition(ORM):
    def __init__(self, args: Any = None, floor: float = 0.0, **kwargs: Any) -> None:
        super().__init__(args)
        self.penalty, self.floor = args.repetition_max_penalty, floor

    def __call__(self, completions: list[str], **kwargs: Any) -> list[tuple[float, float]]:
        return [(self.penalty, self.floor)] * len(completions)


class Bare:
    def __call__(self, completions: list[str], **kwargs: Any) -> list[int]:
        return [len(completion) for completion in completions]


@pytest.mark.parametrize("target", [Solution, Solution(), Later, Later()])
def test_a_class_is_instantiated_and_an_instance_is_called(target: Any) -> None:
    assert ask(target, SOLVED) == {"score": [1.0, None, 1.0]}


def test_a_class_needs_no_base() -> None:
    assert ask(Bare) == {"score": [1, 3, 1]}


def test_options_are_attributes_of_args_or_arguments_of_init() -> None:
    assert ask(Repetition, repetition_max_penalty=-1, floor=-2.0) == {"score": [(-1, -2.0)] * 3}


def test_an_argument_that_is_not_under_options_is_named() -> None:
    said = r"Repetition\(\) raised AttributeError: the reward reads args.repetition_max_penalty, which is not under opt"
    with pytest.raises(ConfigError, match=said + ".*did you mean 'repetition_max_penatly'"):
        ask(Repetition, repetition_max_penatly=-1)


def test_a_class_without_args_takes_the_options_it_names() -> None:
    class Scaled(Bare):
        def __init__(self, scale: float) -> None:
            self.scale = scale

    assert Swift().bind(Scaled, {"scale": 2})([]) == []
    with pytest.raises(ConfigError, match=r"Scaled\(\) takes no option 'scael'; did you mean 'scale'"):
        Swift().bind(Scaled, {"scael": 2})
    with pytest.raises(ConfigError, match=r"Scaled\(\) raised TypeError: .*missing 1 required"):
        Swift().bind(Scaled, {})


def test_options_of_an_instance_are_keyword_arguments() -> None:
    class Scaled(ORM):
        def __call__(self, completions: list[str], scale: int = 1, **kwargs: Any) -> list[int]:
            return [scale] * len(completions)

    assert ask(Scaled(), scale=3) == {"score": [3] * 3}
    with pytest.raises(ConfigError, match=r"Scaled\(\) takes no option 'sclae'; did you mean 'scale'"):
        ask(Scaled(), sclae=3)


class Shows(ORM):
    def __call__(self, completions: Any, **kwargs: Any) -> list[Any]:
        return [{"completions": completions, **kwargs}] * len(completions)


def test_completions_are_text_and_messages_end_with_them() -> None:
    [shown] = ask(Shows(), CHATS)["score"]
    assert shown["completions"] == ["2"]
    assert [m["content"] for m in shown["messages"][0]] == ["Count.", "1 + 1?", "2"]
    assert "response_token_ids" not in shown


def test_tokens_columns_and_the_state_of_training_go_by_keyword() -> None:
    context = {"trainer_state": SimpleNamespace(global_step=4), "log_metric": print}
    batch = RewardBatch(ANSWERS.prompts, ANSWERS.completions, ANSWERS.completion_ids, ANSWERS.columns, context)
    shown = ask(Shows(), batch)["score"][0]
    assert shown["response_token_ids"] == [[2], [7, 8], [5]]
    assert shown["answer"] == ["2", "2", "5"]
    assert shown["trainer_state"].global_step == 4
    assert "log_metric" not in shown


def test_the_first_parameter_gets_the_completions_whatever_its_name() -> None:
    class Old(ORM):
        def __call__(self, infer_requests: list[str], solution: list[str], **kwargs: Any) -> list[bool]:
            return [r == s for r, s in zip(infer_requests, solution, strict=True)]

    assert ask(Old, SOLVED) == {"score": [True, False, True]}
    with pytest.raises(BatchError, match="a column 'infer_requests', which is what ms-swift passes; rename"):
        ask(Old, with_columns(infer_requests=["a"] * 3))


def test_a_function_may_be_said_to_have_the_form() -> None:
    def length(completions: list[str], **kwargs: Any) -> list[int]:
        return [len(c) for c in completions]

    assert ask(length, CHATS, form="swift") == {"score": [1]}


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumn, match=r"Solution\(\) reads 'solution', .* they have: answer; add one"):
        ask(Solution, ANSWERS)


def test_calls_that_cannot_take_what_ms_swift_passes() -> None:
    class Narrow(ORM):
        def __call__(self, completions: list[str]) -> list[float]:
            return []

    with pytest.raises(ConfigError, match=r"Narrow\(\) does not take messages, response_token_ids, trainer_state"):
        Swift().bind(Narrow, {})
    with pytest.raises(ConfigError, match=r"is a ORM, not a function; name a function or an instance"):
        Swift().bind(ORM, {})


def test_the_wrong_length() -> None:
    with pytest.raises(Unreadable, match="returned 1 score for 3 completions"):
        Swift().read([1.0], 3)

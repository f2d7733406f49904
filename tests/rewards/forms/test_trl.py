"""TRL's form."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import numpy as np
import pytest
import torch

from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.trl import TRL
from tests.rewards.forms.asking import ANSWERS, CHATS, ask, with_columns


def exact(completions: list[str], answer: list[str], **kwargs: Any) -> list[float | None]:
    return [None if c.isalpha() else float(c == a) for c, a in zip(completions, answer, strict=True)]


async def exact_later(completions: list[str], answer: list[str], **kwargs: Any) -> list[float | None]:
    return exact(completions, answer)


def short(completions: list[str], completion_ids: list[list[int]], *, most: int = 1, **_: Any) -> list[bool]:
    return [len(ids) <= most for ids in completion_ids]


class Judge:
    def __init__(self, right: float) -> None:
        self.right = right

    async def __call__(self, completions: list[str], **kwargs: Any) -> list[float]:
        return [self.right for _ in completions]


@pytest.mark.parametrize("function", [exact, exact_later])
def test_a_function_of_completions_and_a_column(function: Any) -> None:
    assert ask(function) == {"score": [1.0, None, 1.0]}


def test_messages_stay_messages() -> None:
    def roles(prompts: Any, completions: Any, **_: Any) -> list[Any]:
        return [(p[-1]["role"], c[0]["role"]) for p, c in zip(prompts, completions, strict=True)]

    assert ask(roles, CHATS) == {"score": [("user", "assistant")]}


def test_options_become_keyword_arguments() -> None:
    assert ask(short) == {"score": [True, False, True]}
    assert ask(short, most=2) == {"score": [True, True, True]}


def test_an_option_takes_the_place_of_a_column_of_its_name() -> None:
    def target_length(completions: list[str], *, target: int = 0, **_: Any) -> list[int]:
        return [target] * len(completions)

    assert ask(target_length, with_columns(target=[7, 8, 9]), target=2) == {"score": [2, 2, 2]}
    assert ask(target_length, with_columns(target=[7, 8, 9])) == {"score": [[7, 8, 9]] * 3}


@pytest.mark.parametrize(
    ("option", "said"), [("mots", r"takes no option 'mots'; did you mean 'most'"), ("zzz", "takes no option 'zzz'")]
)
def test_a_misspelt_option_does_not_vanish_in_kwargs(option: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(short, **{option: 2})


def test_kwargs_that_are_read_take_options() -> None:
    def reads(completions: list[str], **kwargs: Any) -> list[int]:
        return [kwargs["scale"]] * len(completions)

    assert ask(reads, scale=3) == {"score": [3, 3, 3]}


@pytest.mark.parametrize("name", ["completions", "trainer_state"])
def test_what_trl_passes_is_no_option(name: str) -> None:
    with pytest.raises(ConfigError, match=f"option '{name}' of short.. is what TRL passes itself"):
        ask(short, **{name: 1})


def test_what_the_engine_hands_on_is_passed_by_name() -> None:
    def counts(completions: list[str], trainer_state: Any, log_metric: Any, **_: Any) -> list[int]:
        return [trainer_state + log_metric] * len(completions)

    batch = RewardBatch(["p"], ["c"], context={"trainer_state": 3, "log_extra": None, "log_metric": 4})
    assert ask(counts, batch) == {"score": [7]}


@pytest.mark.parametrize("function", [Judge(2.0), functools.partial(Judge(2.0)), Judge(2.0).__call__])
def test_objects_and_partials_of_coroutine_functions_stay_coroutine_functions(function: Any) -> None:
    assert inspect.iscoroutinefunction(TRL().bind(function, {}))
    assert ask(function) == {"score": [2.0, 2.0, 2.0]}


def test_a_function_that_cannot_take_what_trl_passes() -> None:
    with pytest.raises(ConfigError, match=r"<lambda>\(\) does not take prompts, .*end the parameters with \*\*kwargs"):
        TRL().bind(lambda completions: [], {})


def test_a_missing_column_is_named_with_the_nearest() -> None:
    with pytest.raises(MissingColumn, match=r"exact\(\) reads 'answer', .*did you mean 'answers'.*they have: answers"):
        ask(exact, with_columns(answers=["2", "2", "5"]))


def test_tokens_that_are_not_known_are_a_missing_column() -> None:
    with pytest.raises(MissingColumn, match="reads 'completion_ids', which is known in training only"):
        ask(short, RewardBatch(["p"], ["c"]))


def test_a_column_that_has_the_name_of_what_trl_passes() -> None:
    with pytest.raises(BatchError, match="a column 'prompts', which is what TRL itself passes; rename"):
        ask(short, with_columns(prompts=["a", "b", "c"]))


@pytest.mark.parametrize(
    "value", [[1, None, 0.5], (1, None, 0.5), np.array([1, None, 0.5]), torch.tensor([1.0, 2.0, 3.0])]
)
def test_lists_arrays_and_tensors_are_read(value: Any) -> None:
    assert TRL().read(value, 3) == {"score": value.tolist() if hasattr(value, "tolist") else list(value)}


@pytest.mark.parametrize("value", [[1.0], [], [1.0] * 4, torch.zeros(2), ()])
def test_the_wrong_length(value: Any) -> None:
    with pytest.raises(Unreadable, match=f"returned {len(value)} scores? for 3 completions; return one for each"):
        TRL().read(value, 3)


@pytest.mark.parametrize("value", [None, 1.0, "1.0", {"score": 1.0}, torch.tensor(1.0), np.float64(1.0), {1, 2, 3}])
def test_what_is_no_list(value: Any) -> None:
    with pytest.raises(Unreadable, match=r"returned .*; return a list with one score for each completion"):
        TRL().read(value, 3)


def test_an_empty_batch_is_no_fault() -> None:
    function = TRL().bind(exact, {})
    call = TRL().call(ANSWERS.part(0, 0), function)
    assert (call.size, TRL().read(function(**call.arguments), 0)) == (0, {"score": []})


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        ({"fmt": [1, 0, 1], "score": [0.5, 1, 2]}, {"score": [0.5, 1, 2], "fmt": [1, 0, 1]}),
        ({"only": [1, None, 2]}, {"only": [1, None, 2]}),
        ([{"reward": 1, "fmt": 2}, None, {"reward": 3}], {"reward": [1, None, 3], "fmt": [2, None, None]}),
        (
            {"a": [1, 2, 3], "b": torch.ones(3)},
            {"score": [{"a": n, "b": 1.0} for n in (1, 2, 3)], "a": [1, 2, 3], "b": [1.0] * 3},
        ),
    ],
    ids=["named", "only one", "a mapping each", "no main one"],
)
def test_several_scores_by_name(value: Any, columns: Any) -> None:
    found = TRL().read(value, 3)
    assert found == columns
    assert list(found) == list(columns)


def test_several_scores_have_one_length() -> None:
    with pytest.raises(Unreadable, match="returned 2 scores for 3 completions"):
        TRL().read({"a": [1, 2, 3], "b": [1, 2]}, 3)

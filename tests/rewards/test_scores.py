"""What a reward function may return, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from concord.core.errors import RewardError
from concord.rewards import NamedReward, checked, read_scores

COMPLETIONS = ["a", "b", "c"]


def returning(value: Any) -> Callable[..., Any]:
    def reward(completions: list[str], **_: Any) -> Any:
        return value

    return reward


def score(value: Any) -> Any:
    return checked(NamedReward("mine", returning(value)))(completions=COMPLETIONS)


@pytest.mark.parametrize(
    "value",
    [
        [1, 0.5, -2],
        (1, 0.5, -2),
        torch.tensor([1, 0.5, -2]),
        torch.tensor([1, 0.5, -2], dtype=torch.bfloat16, requires_grad=True),
        np.array([1, 0.5, -2]),
        [torch.tensor(1), np.float32(0.5), Fraction(-2)],
    ],
)
def test_numbers_however_they_come(value: Any) -> None:
    scores = score(value)
    assert scores == [1.0, 0.5, -2.0]
    assert all(type(entry) is float for entry in scores)


def test_bools_are_scores() -> None:
    assert score([True, False, np.True_]) == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("value", [[1.0], [], [1.0] * 4, torch.zeros(2), ()])
def test_the_wrong_length(value: Any) -> None:
    with pytest.raises(RewardError, match=f"'mine' returned {len(value)} scores? for 3 completions; return one for"):
        score(value)


@pytest.mark.parametrize(
    "value", [None, 1.0, "1.0", {"score": 1.0}, (x for x in "abc"), torch.tensor(1.0), np.float64(1.0), {1, 2, 3}]
)
def test_what_is_no_list(value: Any) -> None:
    with pytest.raises(RewardError, match=r"'mine' returned .*; return a list with one score for each completion"):
        score(value)


@pytest.mark.parametrize("entry", ["1.0", [1.0], {"score": 1}, 1j, object(), b"1", torch.zeros(2), "x" * 10_000])
def test_a_score_that_is_no_number(entry: Any) -> None:
    with pytest.raises(RewardError, match=r"'mine' returned .* at index 1; a score is a number, or None") as caught:
        score([1.0, entry, 2.0])
    assert len(str(caught.value)) < 250


def test_none_abstains_and_nan_is_invalid() -> None:
    reward = checked(NamedReward("mine", returning([None, math.nan, 1.0])))
    assert reward(completions=COMPLETIONS) == [None, None, 1.0]
    assert reward.counts == {"abstained": 1, "invalid": 1, "scored": 1}
    reward(completions=COMPLETIONS)
    assert reward.counts == {"abstained": 2, "invalid": 2, "scored": 2}


@pytest.mark.parametrize("entry", [math.nan, math.inf, -math.inf, 1e39, 10**400, torch.tensor(math.nan)])
def test_what_is_not_finite_in_float32_is_not_scored(entry: Any) -> None:
    assert read_scores("mine", [entry, 0.0], 2) == ([None, 0.0], ["invalid", "scored"])


def test_the_counts_are_logged_where_trl_lets_them() -> None:
    logged: dict[str, float] = {}
    reward = checked(NamedReward("mine", returning([None, math.inf, None, 1.0])))
    reward(completions=["a"] * 4, log_metric=logged.__setitem__)
    assert logged == {"rewards/mine/abstained": 0.5, "rewards/mine/invalid": 0.25}


def test_no_completions_is_no_fault() -> None:
    logged: dict[str, float] = {}
    reward = checked(NamedReward("mine", returning([])))
    assert reward(completions=[], log_metric=logged.__setitem__) == []
    assert logged == {"rewards/mine/abstained": 0.0, "rewards/mine/invalid": 0.0}


def test_the_name_is_the_rewards() -> None:
    assert checked(NamedReward("mine", returning([]))).__name__ == "mine"
    assert checked(NamedReward("part", functools.partial(returning([]), log_extra=None))).__name__ == "part"


def test_an_exception_names_the_reward_and_keeps_its_cause() -> None:
    def fails(completions: list[str], answer: list[str], **_: Any) -> list[float]:
        raise LookupError("no such answer")

    with pytest.raises(RewardError, match="reward 'mine' raised LookupError: no such answer") as caught:
        checked(NamedReward("mine", fails))(completions=COMPLETIONS, answer=COMPLETIONS)
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_column_that_is_not_there_is_named() -> None:
    def needs(completions: list[str], solution: list[str], **_: Any) -> list[float]:
        return [1.0]

    with pytest.raises(RewardError, match="missing 1 required positional argument: 'solution'"):
        checked(NamedReward("mine", needs))(completions=COMPLETIONS)


def test_a_function_that_cannot_take_what_trl_passes() -> None:
    def narrow(completions: list[str]) -> list[float]:
        return []

    with pytest.raises(RewardError, match=r"unexpected keyword argument 'prompts'.*end the parameters with \*\*kwargs"):
        checked(NamedReward("narrow", narrow))


class Judge:
    async def __call__(self, completions: list[str], **_: Any) -> list[float]:
        await asyncio.sleep(0)
        return [1.0, math.nan, 2.0]


async def fails_later(completions: list[str], **_: Any) -> list[float]:
    raise TimeoutError("no reply")


@pytest.mark.parametrize("function", [Judge(), functools.partial(Judge().__call__), Judge().__call__])
def test_coroutine_functions_stay_so(function: Any) -> None:
    reward = checked(NamedReward("judge", function))
    assert inspect.iscoroutinefunction(reward)
    assert asyncio.run(reward(completions=COMPLETIONS)) == [1.0, None, 2.0]
    assert reward.counts["invalid"] == 1


def test_a_coroutine_that_raises_names_the_reward() -> None:
    with pytest.raises(RewardError, match="reward 'later' raised TimeoutError: no reply"):
        asyncio.run(checked(NamedReward("later", fails_later))(completions=COMPLETIONS))


def test_trl_sees_name_and_kind() -> None:
    utils = pytest.importorskip("trl.trainer.utils")
    for function, is_async in ((returning([]), False), (Judge(), True)):
        reward = checked(NamedReward("mine", function))
        assert (utils.get_callable_name(reward), utils.is_async_callable(reward)) == ("mine", is_async)

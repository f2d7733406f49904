"""Length, DAPO's punishment, and repetition."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.core.errors import RewardError
from concord.rewards.builtin import length_budget, length_range, length_target, repetition_penalty, soft_overlong

LENGTHS = (0, 1, 5, 9, 10, 11, 15, 19, 20, 21, 50)


def tokens(*lengths: int) -> dict[str, Any]:
    return {"completions": ["..."] * len(lengths), "completion_ids": [[7] * length for length in lengths]}


def test_the_target_is_the_top_of_a_tent() -> None:
    expected = [0, 0.1, 0.5, 0.9, 1, 0.9, 0.5, 0.1, 0, 0, 0]
    assert length_target(**tokens(*LENGTHS), target=10) == pytest.approx(expected)


def test_the_range_holds_its_ends() -> None:
    assert length_range(**tokens(*LENGTHS), low=5, high=10) == [0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    assert length_range(**tokens(0, 1, 2), high=1) == [1, 1, 0]


def test_the_budget_is_free_until_it_is_spent() -> None:
    expected = [1, 1, 1, 1, 1, 0.9, 0.5, 0.1, 0, 0, 0]
    assert length_budget(**tokens(*LENGTHS), budget=10) == pytest.approx(expected)
    above = [length for length in LENGTHS if length >= 10]
    assert length_budget(**tokens(*above), budget=10) == length_target(**tokens(*above), target=10)


@pytest.mark.parametrize(("unit", "length"), [("tokens", 3), ("words", 4), ("characters", 15)])
def test_units_count_what_they_say(unit: str, length: int) -> None:
    text = "\tso\u00a0it goes \U0001f600e\u0301"
    assert length_range([text], completion_ids=[[1, 2, 3]], low=length, high=length, unit=unit) == [1.0]


def test_of_messages_the_models_own_count() -> None:
    messages = [{"role": "assistant", "content": "one two"}, {"role": "tool", "content": "three"}]
    assert length_target([messages], target=2, unit="words") == [1.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda **batch: length_target(**batch, target=2),
        lambda **batch: soft_overlong(**batch, max_length=2, cache=1),
        lambda **batch: repetition_penalty(**batch),
    ],
)
def test_tokens_that_are_not_known_are_asked_for(function: Any) -> None:
    with pytest.raises(RewardError, match="tokens of the completions are not known"):
        function(completions=["a"])
    with pytest.raises(RewardError, match="1 lists of tokens for 2 completions"):
        function(completions=["a", "b"], completion_ids=[[1]])


@settings(deadline=None)  # the first example imports TRL
@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 40), st.integers(0, 40))
def test_the_punishment_is_trls(lengths: list[int], most: int, cache: int) -> None:
    other_rewards = pytest.importorskip("trl.rewards.other_rewards")
    cache = min(cache, most)
    theirs = other_rewards.get_soft_overlong_punishment(most, cache)(tokens(*lengths)["completion_ids"])
    assert soft_overlong(**tokens(*lengths), max_length=most, cache=cache) == theirs


def test_the_punishment_at_its_corners() -> None:
    expected = [0.0, -0.05, -0.5, -1.0, -1.0]
    assert soft_overlong(**tokens(80, 81, 90, 100, 101), max_length=100, cache=20) == expected
    assert soft_overlong(**tokens(100, 101), max_length=100, cache=0) == [0.0, -1.0]
    assert soft_overlong(**tokens(0, 50, 100), max_length=100, cache=100) == [0.0, -0.5, -1.0]


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), max_size=30), max_size=6), st.integers(1, 5), st.floats(0.1, 3))
def test_the_penalty_is_trls(ids: list[list[int]], n: int, size: float) -> None:
    other_rewards = pytest.importorskip("trl.rewards.other_rewards")
    theirs = other_rewards.get_repetition_penalty_reward(n, -size)(ids)
    assert repetition_penalty([""] * len(ids), completion_ids=ids, n=n, max_penalty=size) == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("text", "n", "unit", "score"),
    [
        ("a b c a b c", 3, "words", -1 / 4),  # abc bca cab abc
        ("a b c a b c", 1, "words", -1 / 2),
        ("a a a a", 2, "words", -2 / 3),
        ("a A", 1, "words", 0.0),
        ("aaaa", 2, "characters", -2 / 3),
        ("\u54c8\u54c8\u54c8", 1, "characters", -2 / 3),
        ("a b", 3, "words", 0.0),
        ("", 1, "words", 0.0),
    ],
)
def test_repetition_by_hand(text: str, n: int, unit: str, score: float) -> None:
    assert repetition_penalty([text], n=n, unit=unit) == [pytest.approx(score)]
    assert repetition_penalty([text], n=n, unit=unit, max_penalty=4) == [pytest.approx(4 * score)]


def test_no_repetition_is_zero_without_a_sign() -> None:
    assert str(repetition_penalty(["a b c"], unit="words")) == "[0.0]"

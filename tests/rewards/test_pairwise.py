"""Rewards from a judge of pairs."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.core.errors import RewardError
from concord.rewards import AgainstReference, WinRate

Verdict = float | bool | None


def longer(prompt: str, first: str, second: str) -> Verdict:
    return 0.5 if len(first) == len(second) else len(first) > len(second)


def first_one(prompt: str, first: str, second: str) -> Verdict:
    """A judge that favours a place."""
    return True


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), size=st.integers(2, 6))
def test_win_rates_are_the_mean_over_the_others_in_both_orders(seed: int, size: int) -> None:
    rng = random.Random(seed)
    table = {(i, j): rng.random() for i in range(size) for j in range(size)}
    got = WinRate(lambda prompt, x, y: table[int(x), int(y)])(["q"] * size, [str(i) for i in range(size)])
    for i in range(size):
        others = [j for j in range(size) if j != i]
        want = sum((table[i, j] + 1 - table[j, i]) / 2 for j in others) / len(others)
        assert got[i] == pytest.approx(want)
    assert sum(rate or 0 for rate in got) == pytest.approx(size / 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_order_of_rollouts_is_irrelevant(seed: int) -> None:
    rows = [(prompt, "x" * n) for prompt, n in (("a", 1), ("a", 2), ("a", 4), ("b", 3), ("b", 5), ("c", 1))]
    shuffled = random.Random(seed).sample(rows, len(rows))
    for reward in (WinRate(longer), AgainstReference(longer, seed=3)):
        want = dict(zip(rows, reward(*map(list, zip(*rows, strict=True))), strict=True))
        assert dict(zip(shuffled, reward(*map(list, zip(*shuffled, strict=True))), strict=True)) == want


def test_a_judge_that_favours_a_place_decides_nothing() -> None:
    assert WinRate(first_one)(["q"] * 3, ["a", "b", "c"]) == [0.5, 0.5, 0.5]
    assert sorted(AgainstReference(first_one)(["q"] * 3, ["a", "b", "c"])) == [-1, -1, 0]
    assert sorted(AgainstReference(first_one, both_orders=False)(["q"] * 3, ["a", "b", "c"])) == [0, 1, 1]


@pytest.mark.parametrize(("both_orders", "times"), [(True, 2), (False, 1)])
def test_the_judge_is_asked_as_often_as_said(both_orders: bool, times: int) -> None:
    asked = []

    def judge(prompt: str, first: str, second: str) -> Verdict:
        asked.append((prompt, first, second))
        return 0.5

    texts = list("abcd")
    WinRate(judge, both_orders=both_orders)(["q"] * 4, texts)
    assert len(asked) == times * 6
    asked.clear()
    AgainstReference(judge, both_orders=both_orders)(["q"] * 4, texts)
    assert len(asked) == times * 3


def test_whoever_has_no_verdict_is_not_scored() -> None:
    def shy(prompt: str, first: str, second: str) -> Verdict:
        return None if "?" in first + second else longer(prompt, first, second)

    assert WinRate(shy)(["q", "q", "q", "alone"], ["a", "bb", "?", "c"]) == [0, 1, None, None]
    scores = AgainstReference(shy)(["q"] * 2, ["?", "a"])
    assert sorted(score is None for score in scores) == [False, True]
    assert AgainstReference(shy)(["q"], ["a"]) == [0]


def test_the_reference_differs_between_seeds_and_not_between_runs() -> None:
    texts = list("abcdefgh")
    drawn = [AgainstReference(longer, seed=seed)(["q"] * 8, texts).index(0.0) for seed in range(20)]
    assert len(set(drawn)) > 3
    assert drawn == [AgainstReference(longer, seed=seed)(["q"] * 8, texts).index(0.0) for seed in range(20)]


@pytest.mark.parametrize("verdict", [2, -0.1, "first", float("nan")])
def test_a_verdict_that_is_no_probability_is_refused(verdict: object) -> None:
    with pytest.raises(RewardError, match=r"probability in \[0, 1\]"):
        WinRate(lambda prompt, x, y: verdict)(["q"] * 2, ["a", "b"])  # type: ignore[arg-type,return-value]

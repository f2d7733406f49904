"""Which columns of a table are taken for rewards, at the bars where that changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from concord.core.errors import DumpError
from concord.dumps.formats.base import Format, Rollout
from concord.dumps.formats.plain import plain
from concord.dumps.infer import find_layout, find_rewards

TABLE = plain({"prompt": "prompt"})


def named(values: dict[str, list[Any]], format: Format = TABLE, **more: Any) -> list[str]:
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return find_rewards(format, [Rollout(values=row) for row in rows], None, **more).names


@pytest.mark.parametrize(
    ("column", "reward"),
    [
        ([0.5] * 9 + ["n/a"], True),  # one thing in ten
        ([0.5] * 8 + ["n/a"], False),
        ([0.5] * 18 + ["n/a"] * 2, True),
        ([0.5] * 17 + ["n/a"] * 2, False),
        ([0.5] + [None] * 9, True),  # what is absent is no other thing
        ([None] * 10, False),
        (["n/a"] * 10, False),
        (["0.5"] * 10, False),  # numbers as text are text, but in a CSV
    ],
)
def test_one_thing_in_ten_may_be_something_else(column: list[Any], reward: bool) -> None:
    known = {"sure": [1.0] * len(column)}
    assert named(known | {"column": column}) == ["sure", *["column"] * reward]


@pytest.mark.parametrize(
    ("column", "reward"), [([0.5, 1.0], True), ([0.5, 1], False), ([1, 2], False), ([True, False], False)]
)
def test_where_a_format_has_floats_only_a_whole_number_makes_a_column_none(column: list[Any], reward: bool) -> None:
    floats = dataclasses.replace(TABLE, floats_only=True)
    assert named({"sure": [1.0, 0.5], "column": column}, floats) == ["sure", *["column"] * reward]
    assert named({"sure": [1.0, 0.5], "column": column}) == ["sure", "column"]


def test_numbers_as_text_count_in_a_csv() -> None:
    assert named({"column": ["0.5", "1"], "other": ["a", "0.5"]}, all_text=True) == ["column"]


def test_a_total_is_a_reward_where_there_is_nothing_else_and_the_first_of_several() -> None:
    totals = dataclasses.replace(TABLE, totals=("score", "reward"))
    assert named({"reward": [1.0], "score": [2.0]}, totals) == ["score"]
    assert named({"reward": [1.0], "score": [2.0], "part": [3.0]}, totals) == ["part"]
    assert named({"reward": [1.0], "part": [3.0]}, totals, logged=["reward"]) == ["reward"]
    with pytest.raises(DumpError, match="no value looks like a reward"):
        named({"text": ["a"]}, totals)


@pytest.mark.parametrize("empty", [20, 21])
def test_at_most_twenty_empty_columns_are_listed(empty: int) -> None:
    values: dict[str, Any] = {"sure": 1.0, **{f"empty{i:02}": None for i in range(empty)}}
    found = find_rewards(TABLE, [Rollout(values=values)], None)
    assert found.inferred[-1].endswith("empty19")
    assert found.inferred[-1].count(",") == 20  # one stands after "for rewards"


@pytest.mark.parametrize(
    ("prompts", "size"), [("aabb", 2), ("aabbb", 2), ("aaabbaaa", 3), ("a", None), ("aabbbcccdd", 3)]
)
def test_runs_of_equal_prompts_have_the_commonest_length_but_the_last(prompts: str, size: int | None) -> None:
    """The sample may end within the last one."""
    runs = dataclasses.replace(TABLE, consecutive=True)
    layout = find_layout(runs, [Rollout(values={}, prompt=prompt) for prompt in prompts], by_id=False)
    assert (layout.scattered, layout.size) == (False, size)


@pytest.mark.parametrize(("prompts", "scattered"), [("aabb", False), ("abab", True), ("abcd", True), ("aabbcc", False)])
def test_groups_that_come_back_are_scattered(prompts: str, scattered: bool) -> None:
    assert (
        find_layout(TABLE, [Rollout(values={}, prompt=prompt) for prompt in prompts], by_id=False).scattered
        is scattered
    )

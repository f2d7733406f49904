"""Rewards that count only where another has reached a threshold."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from concord.core.errors import ConfigError
from concord.rewards import Gate, Gates

NAN = math.nan


def gates(**conditions: str) -> Gates:
    return Gates(["a", "b", "c"], {name: Gate.parse(text) for name, text in conditions.items()})


def same(found: Tensor, expected: list[list[float]]) -> bool:
    return torch.equal(found.nan_to_num(nan=1e9), torch.tensor(expected).nan_to_num(nan=1e9))


def test_counts_where_the_other_reached_it() -> None:
    scores, opened = gates(b="a >= 1")(torch.tensor([[1.0, 5.0, 2.0], [0.5, 5.0, 2.0], [2.0, -5.0, 2.0]]))
    assert same(scores, [[1, 5, 2], [0.5, 0, 2], [2, -5, 2]])
    assert opened.tolist() == [[True, True, True], [True, False, True], [True, True, True]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_threshold_is_reached_up_to_float_noise(dtype: torch.dtype) -> None:
    """As float32, 0.7 is below 0.7 and 0.1 above 0.1; neither is what the condition asks."""
    scores = torch.tensor([[0.7, 1, 0.1], [0.6999, 1, 0.1001]], dtype=torch.float32).to(dtype)
    assert gates(b="a >= 0.7")(scores)[1][:, 1].tolist() == [True, False]
    assert gates(b="a == 0.7")(scores)[1][:, 1].tolist() == [True, False]
    assert gates(b="c > 0.1")(scores)[1][:, 1].tolist() == [False, True]
    assert gates(b="c <= 0.1")(scores)[1][:, 1].tolist() == [True, False]


def test_what_is_not_known_stays_unknown() -> None:
    scores, opened = gates(b="a >= 1")(torch.tensor([[NAN, 5.0, 0.0], [1.0, NAN, 0.0], [0.0, NAN, 0.0]]))
    assert same(scores, [[NAN, NAN, 0], [1, NAN, 0], [0, NAN, 0]])
    assert opened[:, 1].tolist() == [False, True, False]


@pytest.mark.parametrize("comparison", ["!=", "==", "<", "<=", ">", ">="])
def test_no_comparison_opens_a_gate_on_a_score_that_is_missing(comparison: str) -> None:
    """NaN != 1 is true, and says nothing of the score."""
    scores, opened = gates(b=f"a {comparison} 1")(torch.tensor([[NAN, 5.0, 0.0]]))
    assert opened.tolist() == [[True, False, True]]
    assert same(scores, [[NAN, NAN, 0]])


def test_a_gate_behind_a_gate_reads_what_counts_there() -> None:
    chained = gates(b="a >= 1", c="b > 0")
    assert same(chained(torch.tensor([[0.0, 3.0, 7.0], [1.0, 3.0, 7.0]]))[0], [[0, 0, 0], [1, 3, 7]])
    swapped = Gates(["c", "b", "a"], {"c": Gate.parse("b > 0"), "b": Gate.parse("a >= 1")})  # whatever the order
    assert same(swapped(torch.tensor([[7.0, 3.0, 0.0]]))[0], [[0, 0, 0]])


@pytest.mark.parametrize(
    ("text", "open_at"),
    [
        (">= 0.7", {0.7, 0.9}),
        ("> 0.7", {0.9}),
        ("<= 0.7", {0.1, 0.7}),
        ("<0.7", {0.1}),
        ("==0.7", {0.7}),
        ("!= .7", {0.1, 0.9}),
    ],
)
def test_comparisons_in_float32_as_written(text: str, open_at: set[float]) -> None:
    values = [0.1, 0.7, 0.9]
    _, opened = gates(b=f"a {text}")(torch.tensor([[value, 1.0, 0.0] for value in values]))
    assert {value for value, is_open in zip(values, opened[:, 1].tolist(), strict=True) if is_open} == open_at


@given(st.lists(st.tuples(*[st.sampled_from([NAN, -1.0, 0.0, 1.0, 2.0])] * 3), min_size=1, max_size=8))
def test_without_gates_nothing_changes_and_the_input_never_does(rows: list[tuple[float, float, float]]) -> None:
    scores = torch.tensor(rows)
    before = scores.clone()
    assert same(gates()(scores)[0], [list(row) for row in rows])
    gates(c="a >= 1")(scores)
    assert torch.equal(scores.nan_to_num(9), before.nan_to_num(9))


@pytest.mark.parametrize(
    "text", ["", "format", "format >=", ">= 1", "format >= one", "format >= nan", "a >= 1 or b", "a => 1"]
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(ConfigError, match="is no condition on a reward; write, for example, 'format >= 1'"):
        Gate.parse(text)


def test_a_gate_on_no_reward() -> None:
    with pytest.raises(
        ConfigError, match=r"'length' counts when formt >= 1, and there is no reward 'formt'; did you mean"
    ):
        Gates(["format", "length"], {"length": Gate.parse("formt >= 1")})


@pytest.mark.parametrize("conditions", [{"a": "a >= 1"}, {"a": "b >= 1", "b": "a >= 1"}])
def test_gates_in_a_circle(conditions: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="gates go in a circle"):
        gates(**conditions)

"""Weights over the optimisation steps."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.rewards.schedule import Cosine, Linear, Schedule, Steps, always_zero, schedule

numbers = st.floats(-1e6, 1e6)


@given(numbers, numbers, st.integers(1, 1000), st.integers(0, 100), st.integers(0, 3000))
def test_ramps_stay_between_their_ends_and_reach_them(a: float, b: float, steps: int, after: int, step: int) -> None:
    for kind in (Linear, Cosine):
        ramp = kind(a, b, steps, after)
        assert ramp.at(0) == ramp.at(after) == a
        assert ramp.at(after + steps) == ramp.at(after + steps + 7) == b  # exactly
        slack = 1e-9 * max(1.0, abs(a), abs(b))
        assert min(a, b) - slack <= ramp.at(step) <= max(a, b) + slack


def test_values_by_hand() -> None:
    assert [Linear(1.0, 0.0, 4, after=2).at(s) for s in range(8)] == [1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    assert Cosine(0.0, 2.0, 4).at(1) == pytest.approx(1 - math.sqrt(0.5))
    assert [Steps({10: 2.0, 0: 1.0, 20: -3.0}).at(s) for s in (0, 9, 10, 19, 20, 10**9)] == [1, 1, 2, 2, -3, -3]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (0.3, 0.3),
        (2, 2.0),
        ({"from": 0, "to": 0.3, "steps": 200}, Linear(0, 0.3, 200)),
        ({"from": 1, "to": 0, "steps": 5, "after": 3, "shape": "cosine"}, Cosine(1, 0, 5, 3)),
        ({0: 1.0, 100: 0.5}, Steps({0: 1.0, 100: 0.5})),
    ],
)
def test_as_a_configuration_writes_them(written: Any, read: float | Schedule) -> None:
    assert schedule(written) == read
    assert type(schedule(written)) is type(read)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1", "the weight must be a number, got '1'"),
        (True, "the weight must be a number"),
        (math.nan, "the weight must be finite"),
        ({}, "a schedule needs from, to, steps"),
        ({"from": 0, "to": 1}, "a schedule needs steps"),
        ({"from": 0, "to": 1, "step": 3}, "a schedule has no 'step'; did you mean 'steps'?"),
        ({"from": 0, "to": 1, "steps": 0}, "steps must be a whole number of optimisation steps, at least 1; got 0"),
        ({"from": 0, "to": 1, "steps": 2.5}, "steps must be a whole number"),
        ({"from": 0, "to": 1, "steps": 2, "after": -1}, "after must be a whole number"),
        ({"from": "0", "to": 1, "steps": 2}, "from must be a number"),
        ({"from": 0, "to": math.inf, "steps": 2}, "to must be finite"),
        ({"from": 0, "to": 1, "steps": 2, "shape": "cosin"}, "shape is linear or cosine, got 'cosin'; did you mean"),
        ({10: 1.0}, "says what holds from step 0 on"),
        ({0: 1.0, -1: 2.0}, "optimisation steps as keys, got -1"),
        ({0: 1.0, True: 2.0}, "optimisation steps as keys, got True"),
        ({0: None}, "the weight from step 0 on must be a number"),
    ],
)
def test_what_is_no_schedule(written: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said.replace("?", r"\?")):
        schedule(written)


def test_weights_that_are_never_anything() -> None:
    assert always_zero(0)
    assert always_zero(0.0, 3)
    assert not always_zero(-0.1)
    for shape in (Linear, Cosine):
        assert always_zero(shape(0.0, 0.0, 5))
        assert not always_zero(shape(0.1, 0.0, 5), steps=1)
        assert not always_zero(shape(0.0, 0.1, 5))
        assert always_zero(shape(0.0, 0.1, 5, after=7), steps=8)
        assert not always_zero(shape(0.0, 0.1, 5, after=7), steps=9)
    assert always_zero(Steps({0: 0.0, 9: 0.0}))
    assert always_zero(Steps({0: 0.0, 9: 1.0}), steps=9)
    assert not always_zero(Steps({0: 0.0, 9: 1.0}), steps=10)

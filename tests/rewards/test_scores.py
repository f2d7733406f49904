"""What a reward function may return for one completion, and what becomes of the rest."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from concord.rewards.scores import read_score


@pytest.mark.parametrize(
    "entry",
    [
        0.5,
        np.float32(0.5),
        np.float64(0.5),
        Fraction(1, 2),
        Decimal("0.5"),
        torch.tensor(0.5),
        torch.tensor(0.5, dtype=torch.bfloat16),
        [0.5],
        (0.5,),
        [[0.5]],
        np.array([0.5]),
        torch.tensor([[0.5]]),
    ],
)
def test_numbers_however_they_come(entry: Any) -> None:
    score = read_score(entry)
    assert (score.value, score.status, score.error) == (0.5, "scored", None)
    assert type(score.value) is float


@pytest.mark.parametrize("entry", [True, np.True_, 1, np.int8(1), torch.tensor(1), torch.tensor(True)])
def test_bools_and_integers_are_scores(entry: Any) -> None:
    assert read_score(entry).value == 1.0


def test_none_abstains() -> None:
    assert (read_score(None).value, read_score(None).status, read_score(None).error) == (None, "abstained", None)


@pytest.mark.parametrize(
    "entry", [math.nan, math.inf, -math.inf, 1e39, 10**400, torch.tensor(math.nan), Decimal("NaN"), Decimal("sNaN")]
)
def test_what_is_not_finite_in_float32_is_invalid(entry: Any) -> None:
    score = read_score(entry)
    assert (score.value, score.status) == (None, "invalid")
    assert score.error is not None
    assert "finite in float32" in score.error


@pytest.mark.parametrize("entry", ["1.0", [1.0, 2.0], [[[1.0]]], [], 1j, object(), b"1", torch.zeros(2), "x" * 10_000])
def test_what_is_no_number_is_invalid(entry: Any) -> None:
    score = read_score(entry)
    assert (score.value, score.status) == (None, "invalid")
    assert score.error is not None
    assert "a score is a number, or None to abstain" in score.error
    assert len(score.error) < 250


def test_scores_by_name_without_a_main_one_ask_for_a_key() -> None:
    score = read_score({"a": 1.0, "b": 2.0})
    assert (score.status, score.error) == (
        "invalid",
        "returned several scores by name ('a', 'b'), none of them the main one: say key:",
    )

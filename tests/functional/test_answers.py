"""Answers as numbers, and how far a group is from one of them."""

from __future__ import annotations

import math
from collections import Counter

import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.functional.answers import answer_entropy, answer_ids


def test_equal_answers_have_one_number_and_none_is_an_answer() -> None:
    assert answer_ids(["1/2", None, "0.5", "1/2", None]).tolist() == [0, 1, 2, 0, 1]
    assert answer_ids([]).shape == (0,)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.integers(0, 3))
def test_the_entropy_is_that_of_the_shares(answers: list[int], absent: int) -> None:
    shares = [count / len(answers) for count in Counter(answers).values()]
    where = torch.tensor([True] * len(answers) + [False] * absent)[:, None]
    got = answer_entropy(torch.tensor(answers + [2] * absent)[:, None], where).item()
    assert math.isclose(got, -math.fsum(p * math.log2(p) for p in shares), abs_tol=1e-12)


def test_groups_of_one_answer_of_one_and_of_none_have_no_entropy() -> None:
    answers = torch.tensor([[5, 5, 5], [5, 1, 2], [5, 1, 2]])
    where = torch.tensor([[True, True, False], [True, False, False], [True, False, False]])
    assert answer_entropy(answers, where).tolist() == [0, 0, 0]

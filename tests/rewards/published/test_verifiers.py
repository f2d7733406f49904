"""VerifyRM and POLAR: reward models that read a reference."""

from __future__ import annotations

import math

import pytest
import torch

from concord.core.errors import ConfigError, RewardError
from concord.rewards.published import Layout, polar, verifier_input, verify_rm


def test_long_texts_keep_their_head_and_their_tail() -> None:
    text = "a" * 500 + "b" * 7 + "c" * 1000
    assert verifier_input("q", "r", text).count("b") == 0
    assert ">" + "a" * 500 + "c" * 1000 + "<" in verifier_input("q", text, "y")
    assert "b" * 1000 in verifier_input("b" * 2000, "r", "y")
    assert "a" * 1500 in verifier_input("q", "r", "a" * 1500)


def test_verify_rm_is_the_probability_and_takes_no_gradient() -> None:
    weight = torch.ones(1, requires_grad=True)
    reward = verify_rm(lambda texts: weight * torch.tensor([0.0, math.log(3), math.nan])[: len(texts)])
    found = reward(["p"] * 4, ["a", "b", "c", "d"], answer=["1", None, "2", "3"])
    assert found[:3] == [0.5, None, pytest.approx(0.75)]
    assert found[3] is not None
    assert math.isnan(found[3])
    assert reward(["p"], ["a"], answer=[None]) == [None]


def test_verify_rm_wants_one_logit_for_each_text() -> None:
    with pytest.raises(RewardError, match=r"1 texts and returned \(1, 1\)"):
        verify_rm(lambda texts: torch.zeros(len(texts), 1))(["p"], ["y"], answer=["a"])


P, R, C = list(range(100, 110)), [1, 2, 3, 4, 5], [6, 7]


@pytest.mark.parametrize(
    ("most", "answer", "prompt", "reference"),
    [
        (100, 5, P, R),  # all of it
        (100, 3, P, R[:3]),  # the reference loses its end
        (24, 5, P[-6:], R),  # (24 - 4 - 5 - 2) // 2 = 6 tokens of the prompt are left, its last
        (15, 5, P[-2:], R),
        (14, 5, P[-1:], R),
    ],
)
def test_what_is_too_long_is_cut_where_it_matters_least(
    most: int, answer: int, prompt: list[int], reference: list[int]
) -> None:
    joined = Layout(90, 91, (7,), most, answer).join(P, R, C)
    assert joined == [*prompt, 7, *reference, 90, *prompt, 7, *C, 91]
    assert len(joined) <= most


def test_two_answers_that_fill_the_room_leave_no_prompt() -> None:
    assert Layout(90, 91, (), 10, 3).join(P, [1] * 9, [2] * 9) == [1, 1, 1, 90, 2, 2, 2, 91]
    with pytest.raises(ConfigError, match=r"2 \* answer \+ 4"):
        Layout(90, 91, (), 9, 3)
    assert len(Layout(90, 91, (7, 8, 9), 14, 3).join(P, [1] * 9, [2] * 9)) == 14  # a newline of several tokens too


def test_polar_hides_the_thinking_and_needs_a_reference() -> None:
    seen: list[list[int]] = []

    def compare(sequences: object) -> list[float]:
        seen.extend(sequences)  # type: ignore[arg-type]
        return [float(len(seen))] * len(seen)

    reward = polar(lambda text: list(map(ord, text)), compare, Layout(0, 1))
    assert reward(["p", "q"], ["<think>x</think>\ny", "z"], answer=["r", None]) == [1.0, None]
    assert seen == [[*map(ord, "pr"), 0, *map(ord, "py"), 1]]
    with pytest.raises(RewardError, match="1 sequences and returned 2 scores"):
        reward(["p"], ["y"], answer=["r"])

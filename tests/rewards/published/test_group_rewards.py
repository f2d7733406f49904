"""SubPO and URPO: rewards of a whole group."""

from __future__ import annotations

from typing import Any

import pytest

from concord.core.errors import RewardError
from concord.rewards.published import subpo, urpo
from concord.rewards.published.urpo import agreement


def test_gains_are_those_within_a_prompt_however_the_batch_is_mixed() -> None:
    prompts, texts = ["p", "q", "p", "q", "p"], ["a b", "a", "b c", "a", ""]
    assert subpo()(prompts, texts) == [2, 1, 1, 0, 0]


def test_the_set_function_is_the_users() -> None:
    assert subpo(function=len)(["p", "p"], ["a", "a"]) == [1, 1]
    chat = [[{"role": "assistant", "content": text}] for text in ("a b", "b")]
    assert subpo()([[{"role": "user", "content": "p"}]] * 2, chat) == [2, 0]


def reward(**changes: Any) -> Any:
    parts = {"rule": lambda text, answer: float(text == answer), "referee": lambda prompt, texts: range(len(texts))}
    return urpo(**parts | changes)


def test_each_kind_of_row_has_its_reward() -> None:
    found = reward()(
        ["sum", "rank", "rank", "poem", "poem", "sum"],
        ["4", "9 1 5", "1 9", "x", "y", "4"],
        source=["verifiable", "preference", "preference", "open", "open", "verifiable"],
        answer=["4", [3, 1, 2], [3, 1, 2], None, None, None],
    )
    assert found == [1, 1, -1, 0, 1, None]


@pytest.mark.parametrize(
    ("text", "tau"),
    [("4 3 2 1", 1), ("1, 2, 3, 4", -1), ("4 3 1 2", 2 / 3), ("1 1 1 1", 0), ("", -1), ("10 of it: 4 3 2 1", 1)],
)
def test_a_judgement_is_worth_its_agreement(text: str, tau: float) -> None:
    assert agreement(text, [4, 3, 2, 1]) == pytest.approx(tau)


def test_what_cannot_be_directed_or_judged_stops() -> None:
    with pytest.raises(RewardError, match="did you mean 'open'"):
        reward()(["p"], ["y"], source=["opne"], answer=[None])
    with pytest.raises(RewardError, match="2 answers and returned 0 scores"):
        reward(referee=lambda prompt, texts: [])(["p", "p"], ["y", "z"], source=["open"] * 2, answer=[None] * 2)

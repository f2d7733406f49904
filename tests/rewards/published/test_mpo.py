"""MPO: a rubric that evolves, with scripted judges."""

from __future__ import annotations

import pytest

from concord.core.errors import ConfigError
from concord.rewards.published import EvolvingRubric, mpo


class Scripted:
    """Counts its calls; a judge says what the criterion says, a meta-judge what it was given."""

    def __init__(self, answer: str) -> None:
        self.answer, self.prompts = answer, list[str]()

    def __call__(self, prompt: str) -> str:
        self.prompts.append(prompt)
        return self.answer


def run(reward: EvolvingRubric, batches: int, size: int = 2) -> list[int]:
    """How many rubrics there are after each batch."""
    counts = []
    for _ in range(batches):
        reward(["task"] * size, [f"text {i}" for i in range(size)])
        counts.append(len(reward.versions))
    return counts


@pytest.mark.parametrize(("answer", "score"), [("4", 8), ("I give 3 of 5", 6), ("none", 0), ("-2.", -4)])
def test_the_score_is_the_sum_of_whole_numbers_over_the_items(answer: str, score: float) -> None:
    judge = Scripted(answer)
    assert mpo(judge, Scripted(""), ["style", "facts"])(["task"], ["text"]) == [score]
    assert len(judge.prompts) == 4  # a reason and a number for each item
    assert answer in judge.prompts[1]


def test_the_rubric_changes_every_m_batches() -> None:
    meta = Scripted("item")
    assert run(mpo(Scripted("1"), meta, ["style"], every=2), 6) == [1, 2, 2, 3, 3, 4]


def test_a_change_takes_two_calls_a_sample_and_one_and_empties_the_pool() -> None:
    meta = Scripted("- clarity\n2) rhyme\n\n* clarity ")
    reward = mpo(Scripted("1"), meta, ["style"], every=1, samples=3)
    run(reward, 1, size=4)
    assert len(meta.prompts) == 2 * 3 + 1
    assert reward.versions == [("style",), ("clarity", "rhyme")]
    assert reward.pool == []
    run(reward, 1)
    assert len(meta.prompts) == 7 + 2 * 2 + 1  # of a pool of two
    assert reward(["task"], ["text"]) == [2]


def test_the_pool_says_which_rubric_a_score_is_of() -> None:
    reward = mpo(Scripted("1"), Scripted("item"), ["style"], every=2)
    run(reward, 3, size=1)
    assert [judged.version for judged in reward.pool] == [1]


def test_an_empty_answer_leaves_the_rubric() -> None:
    reward = mpo(Scripted("1"), Scripted(" \n-  "), ["style"], every=1)
    assert run(reward, 3) == [1, 1, 1]


@pytest.mark.parametrize("wrong", [{"rubric": []}, {"rubric": "style"}, {"every": 0}, {"samples": 0}])
def test_wrong_parameters_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        mpo(Scripted(""), Scripted(""), **{"rubric": ["style"], **wrong})  # type: ignore[arg-type]

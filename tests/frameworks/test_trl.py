"""TRL's own rewards, asked as ours are."""

from __future__ import annotations

from typing import Any

import pytest

from concord.rewards.batch import RewardBatch
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")
rewards = pytest.importorskip("trl.rewards")

TAGGED = [[{"role": "assistant", "content": text}] for text in ("<think>\nhm\n</think>\n4", "4")]


def batch(completions: Any, ids: Any = None, **columns: Any) -> RewardBatch:
    return RewardBatch(["q"] * len(completions), completions, ids, columns)


def test_think_format() -> None:
    assert ask(rewards.think_format_reward, batch(TAGGED)) == {"score": [1.0, 0.0]}


def test_accuracy_abstains_where_the_solution_does_not_parse() -> None:
    pytest.importorskip("math_verify")
    said = [[{"role": "assistant", "content": rf"\boxed{{{text}}}"}] for text in ("4", "5", "6")]
    assert ask(rewards.accuracy_reward, batch(said, solution=["$4$", "$4$", "no number"]))["score"] == [1.0, 0.0, None]


def test_soft_overlong_punishment() -> None:
    punish = rewards.get_soft_overlong_punishment(max_completion_len=10, soft_punish_cache=4)
    assert ask(punish, batch(["a", "b", "c"], [[0] * 6, [0] * 8, [0] * 11])) == {"score": [0, -0.5, -1]}


def test_repetition_penalty() -> None:
    penalty = rewards.get_repetition_penalty_reward(ngram_size=1, max_penalty=-1.0)
    assert ask(penalty, batch(["a", "b"], [[1, 2, 3, 4], [1, 1, 1, 1]])) == {"score": [0.0, -0.75]}

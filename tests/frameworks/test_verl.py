"""verl's own rewards, asked as ours are."""

from __future__ import annotations

from typing import Any

import pytest

from concord.rewards.batch import RewardBatch
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")

SOLVED = ["6 * 7 = 42\n#### 42", "#### 41", r"so \boxed{42}"]


def module(name: str) -> Any:
    return pytest.importorskip(f"verl.utils.reward_score.{name}" if name else "verl.utils.reward_score")


def batch(*completions: str, **columns: Any) -> RewardBatch:
    return RewardBatch(["q"] * len(completions), list(completions), None, columns)


def test_gsm8k_alone_and_through_verls_dispatcher() -> None:
    data = batch(*SOLVED, reward_model=[{"ground_truth": "42"}] * 3, data_source=["openai/gsm8k"] * 3)
    assert ask(module("gsm8k").compute_score, data) == {"score": [1.0, 0.0, 0]}
    assert ask(module("gsm8k").compute_score, data, method="flexible")["score"] == [1.0, 0.0, 1.0]
    assert ask(module("").default_compute_score, data)["score"] == [1.0, 0.0, 0.0]


def test_math_one_by_one_and_batched() -> None:
    data = batch(*SOLVED, ground_truth=["42"] * 3)
    assert ask(module("math_reward").compute_score, data) == {"score": [0.0, 0.0, 1.0]}
    assert ask(module("math_batch").compute_score_batched, data) == {"score": [0.0, 0.0, 1.0]}


def test_math_dapo_gives_several_columns() -> None:
    columns = ask(module("math_dapo").compute_score, batch("Answer: 42", "Answer: 7", ground_truth=["42", "42"]))
    assert columns == {"score": [1.0, -1.0], "acc": [True, False], "pred": ["42", "7"]}


def test_rlla_gives_format_and_accuracy() -> None:
    truth = '<think>t</think>\n<tool_call>\n{"name": "A", "parameters": {"x": 1}}\n</tool_call>'
    data = batch(truth, "A", ground_truth=[truth] * 2, extra_info=[{"experiment_name": "qwen"}] * 2)
    columns = ask(module("rlla").compute_score, data)
    assert columns == {"score": [4.0, -3.0], "format_reward": [1.0, 0.0], "accuracy_reward": [3.0, -3.0]}


def test_search_r1() -> None:
    data = batch("<answer>the Nile</answer>", "Nile", ground_truth=[{"target": ["Nile"]}] * 2)
    assert ask(module("search_r1_like_qa_em").compute_score, data) == {"score": [1.0, 0]}

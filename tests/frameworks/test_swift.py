"""ms-swift's own rewards, asked as ours are."""

from __future__ import annotations

from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")

COSINE = {
    "cosine_min_len_value_wrong": -0.5,
    "cosine_max_len_value_wrong": 0.0,
    "cosine_min_len_value_correct": 1.0,
    "cosine_max_len_value_correct": 0.5,
    "cosine_max_len": 10,
}


@pytest.fixture
def orms() -> Any:
    return pytest.importorskip("swift.rewards.orm", exc_type=ImportError).orms


def batch(*completions: str, ids: Any = None, **columns: Any) -> RewardBatch:
    return RewardBatch(["q"] * len(completions), list(completions), ids, columns)


def test_all_of_them_are_recognised(orms: Any) -> None:
    assert {str(detect(orm)) for orm in orms.values()} == {f"swift ({orm.__name__} is an ORM)" for orm in orms.values()}


def test_format(orms: Any) -> None:
    data = batch("<think>a</think><answer>b</answer>", "b")
    assert ask(orms["format"], data) == ask(orms["format"](), data) == {"score": [1.0, 0.0]}


def test_accuracy_reads_the_solution(orms: Any) -> None:
    pytest.importorskip("math_verify")
    data = batch("<answer>42</answer>", "<answer>41</answer>", solution=["42", "42"])
    assert ask(orms["accuracy"], data) == {"score": [1.0, 0.0]}


def test_repetition_and_overlong_take_their_arguments_from_options(orms: Any) -> None:
    options = {"repetition_n_grams": 1, "repetition_max_penalty": -1.0}
    assert ask(orms["repetition"], batch("a b c d", "a a a a"), **options) == {"score": [0.0, -0.75]}
    with pytest.raises(ConfigError, match=r"reads args.repetition_n_grams, which is not under options"):
        ask(orms["repetition"], batch("a"))
    data = batch("a", "b", ids=[[0] * 6, [0] * 8])
    assert ask(orms["soft_overlong"], data, soft_max_length=10, soft_cache_length=4) == {"score": [0, -0.5]}


def test_cosine_reads_tokens_and_the_solution(orms: Any) -> None:
    pytest.importorskip("math_verify")
    data = batch("<answer>42</answer>", "<answer>41</answer>", ids=[[], [0] * 10], solution=["42", "42"])
    assert ask(orms["cosine"], data, **COSINE)["score"] == pytest.approx([1.0, 0.0])

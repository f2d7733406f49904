"""verifiers' own Rubrics (v0), asked as ours are, against what they say themselves."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import nullcontext
from typing import Any

import pytest

from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect
from tests.rewards.forms.asking import ask

pytestmark = pytest.mark.filterwarnings("ignore")

SAID = ["<think>t</think>\n<answer>42</answer>", "<answer>41</answer>"]
BATCH = RewardBatch(["q", "q"], SAID, columns={"answer": ["42", "42"]})


@pytest.fixture
def vf() -> Any:
    module = pytest.importorskip("verifiers")
    if not hasattr(module, "Rubric"):
        pytest.skip("this verifiers has no Rubric any more")
    return module


def exact(completion: Any, answer: str, parser: Any) -> float:
    return float(parser.parse_answer(completion) == answer)


async def length(completion: Any) -> float:
    return float(len(completion[-1]["content"]))


def unique(completions: list[Any]) -> list[float]:
    said = [completion[-1]["content"] for completion in completions]
    return [float(said.count(text) == 1) for text in said]


def own(rubric: Any) -> list[dict[str, Any]]:
    """What the Rubric itself makes of the two."""
    states = [
        {
            "prompt": [{"role": "user", "content": "q"}],
            "completion": [{"role": "assistant", "content": text}],
            "answer": "42",
            "task": "default",
            "info": {},
            "trajectory": [],
            "timing": {"scoring_ms": 0.0, "total_ms": 0.0},
        }
        for text in SAID
    ]

    class Free(nullcontext):  # type: ignore[type-arg]
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: Any) -> None: ...

    more = (Free(),) if "score_sem" in inspect.signature(rubric.score_group).parameters else ()
    asyncio.run(rubric.score_group(states, *more))
    return [{"score": state["reward"], **state["metrics"]} for state in states]  # type: ignore[dict-item]


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def test_a_rubric_with_a_parser(vf: Any) -> None:
    rubric = vf.Rubric(funcs=[exact, length], weights=[1.0, 0.01], parser=vf.XMLParser(["think", "answer"]))
    assert str(detect(rubric)) == "verifiers (Rubric of exact, length)"
    assert ask(rubric, BATCH) == columns(own(rubric))


def test_a_rubric_with_a_group_function(vf: Any) -> None:
    rubric = vf.Rubric(funcs=[length, unique], weights=[0.5, 2.0])
    assert ask(rubric, BATCH) == columns(own(rubric))


def test_a_group_of_rubrics(vf: Any) -> None:
    group = vf.RubricGroup([vf.Rubric(funcs=[length], weights=[0.5]), vf.Rubric(funcs=[unique])])
    assert ask(group, BATCH) == columns(own(group))


def test_the_parsers_own_format_reward(vf: Any) -> None:
    reward = vf.XMLParser(["think", "answer"]).get_format_reward_func()
    assert ask(reward, BATCH)["score"] == own_format(vf)


def own_format(vf: Any) -> list[float]:
    rubric = vf.Rubric(funcs=[vf.XMLParser(["think", "answer"]).get_format_reward_func()])
    return [row["score"] for row in own(rubric)]


def test_math(vf: Any) -> None:
    pytest.importorskip("math_verify")
    batch = RewardBatch(["q", "q"], [r"\boxed{42}", r"\boxed{41}"], columns={"answer": ["42", "42"]})
    assert ask(vf.MathRubric(), batch)["score"] == [1.0, 0.0]

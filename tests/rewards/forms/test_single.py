"""Functions that get one reply with its row: AReaL's, rLLM's, NeMo-RL's, and those with names of their own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from concord.core.errors import ConfigError, MissingColumn
from concord.rewards import NamedReward, RewardBatch, RewardSet, Source
from concord.rewards.forms.detect import detect
from tests.rewards.forms.asking import ANSWERS, CHATS, ask, with_columns


def areal(prompt: str, completions: str, prompt_ids: Any, completion_ids: list[int], answer: str, **_: Any) -> int:
    assert isinstance(completions, str)
    return int(completions == answer) + 10 * len(completion_ids)


def test_areal_hands_over_one_text_under_a_plural_name() -> None:
    assert detect(areal).form.name == "areal"
    assert ask(areal) == {"score": [11, 20, 11]}
    assert ask(areal, with_columns(ground_truth=["2", "2", "6"])) == {"score": [11, 20, 10]}
    with pytest.raises(MissingColumn, match="reads 'answer'"):
        ask(areal, with_columns())


def test_areal_is_told_from_trl_and_trl_from_it() -> None:
    assert detect(lambda prompt, completions, **_: 0).form.name == "areal"
    assert detect(lambda prompts, completions, completion_ids, answer, **_: []).form.name == "trl"
    assert detect(lambda completions, answer, **_: []).form.name == "trl"


@dataclass
class RewardOutput:
    reward: float
    metadata: dict[str, Any] = field(default_factory=dict)
    is_correct: bool | None = None


def rllm(task_info: dict[str, Any], action: str) -> RewardOutput:
    right = task_info["ground_truth"] == action
    return RewardOutput(float(right), {"chars": len(action), "note": "text"}, right)


def test_rllm_hands_over_the_row_and_reads_the_output() -> None:
    assert detect(rllm).form.name == "rllm"
    assert ask(rllm) == {"score": [1.0, 0.0, 1.0], "chars": [1, 3, 1], "is_correct": [True, False, True]}
    assert ask(lambda task_info, action: float("1 + 1?" in task_info["question"])) == {"score": [1.0, 1.0, 0.0]}


async def rllm_later(task_info: dict[str, Any], action: str, bonus: float = 0.0) -> RewardOutput:
    return RewardOutput(bonus + len(action))


def test_rllms_may_be_coroutine_functions_and_have_options() -> None:
    assert ask(rllm_later, bonus=1.0) == {"score": [2.0, 4.0, 2.0]}


def nemo(ground_truth: str, response: str, tag: str = "answer") -> tuple[float, bool | None]:
    return float(ground_truth == response), None if response == "two" else ground_truth == response


def test_nemo_rls_functions_return_a_pair() -> None:
    assert detect(nemo).form.name == "nemo"
    assert ask(nemo) == {"score": [1.0, 0.0, 1.0], "is_correct": [True, None, True]}
    assert ask(lambda prompt, response: len(prompt) - len(response)) == {"score": [5, 3, 5]}
    assert ask(lambda response, answer: answer + response) == {"score": ["22", "2two", "55"]}
    with pytest.raises(MissingColumn, match="reads 'ground_truth'"):
        ask(nemo, with_columns())


def odd_names(question: str, action: str, truth: str, *, bonus: float = 0.0) -> float:
    return bonus + float(action == truth) + 10 * question.count("1")


MINE = {"prompt": "question", "response": "action", "answer": "truth"}


def mapped(function: Any, form: dict[str, str], batch: RewardBatch = ANSWERS, **options: Any) -> Any:
    reward = NamedReward("r", Source(function, form=form, options=options), on_error="abstain")
    rewards = RewardSet([reward], say=lambda line: None)
    found = rewards.score(batch)
    assert not found.errors, found.errors
    return found.values["r"]


def test_any_parameters_can_be_named() -> None:
    assert mapped(odd_names, MINE) == [21.0, 20.0, 1.0]
    assert mapped(odd_names, MINE, bonus=0.5) == [21.5, 20.5, 1.5]
    assert str(detect(odd_names, MINE)) == (
        "mapped (as stated: question is the prompt, action is the response, truth is the answer)"
    )


def test_what_can_be_handed_on_under_a_name() -> None:
    def f(chat: Any, ids: Any, row: Any, level: Any) -> float:
        assert [message["role"] for message in chat] == ["user", "assistant"]
        return len(ids) + 10 * level + 100 * (row["level"] == level)

    form = {"messages": "chat", "tokens": "ids", "row": "row", "level": "level"}
    assert mapped(f, form, with_columns(level=[1, 2, 3])) == [111.0, 122.0, 131.0]


@pytest.mark.parametrize("several", [False, True])
def test_plural_names_are_one_call_for_many(several: bool) -> None:
    def f(qs: list[str], outs: list[str], truths: list[str]) -> Any:
        right = [float(out == truth) for out, truth in zip(outs, truths, strict=True)]
        return {"reward": right, "chars": [len(out) for out in outs]} if several else right

    form = {"prompts": "qs", "responses": "outs", "answers": "truths"}
    assert mapped(f, form) == [1.0, 0.0, 1.0]


def test_messages_are_texts_where_texts_are_asked_for() -> None:
    assert mapped(lambda q, a: len(q) + len(a), {"prompt": "q", "response": "a"}, CHATS) == [15.0]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"prompt": "question"}, "hands on no reply"),
        ({"prompt": "q", "response": "q"}, "the parameter 'q' is given twice"),
        ({"prompt": "question", "response": "acton", "answer": "truth"}, "no parameter 'acton'; did you mean 'action'"),
        ({"prompt": "question", "response": "action"}, "needs 'truth'"),
    ],
)
def test_names_that_do_not_fit_are_refused_at_once(form: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RewardSet([NamedReward("r", Source(odd_names, form=form))])


def test_a_fact_that_is_not_there_is_named() -> None:
    with pytest.raises(MissingColumn, match="is to get 'hint'"):
        RewardSet([NamedReward("r", Source(lambda a, h: 0, form={"response": "a", "hint": "h"}))]).score(ANSWERS)

"""The batch that a reward function is checked on."""

from __future__ import annotations

from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.rewards.check import cases, make_batch, own_rows
from concord.rewards.check.rows import ANSWERS, is_chat, take, token_ids
from concord.rewards.check.texts import VERY_LONG


def test_own_rows_hold_right_and_wrong_answers_under_every_name() -> None:
    batch, notes = make_batch(own_rows(), 32)
    assert len(batch) == 32
    assert set(batch.columns) == set(ANSWERS)
    right = [answer in text for answer, text in zip(batch.columns["answer"], batch.completions, strict=True)]
    assert 0 < sum(right) < 32
    assert len(set(zip(batch.prompts, batch.completions, strict=True))) == 32
    assert any("made of the answers" in note for note in notes)
    assert {"trainer_state", "log_extra", "log_metric"} == set(batch.context)


@pytest.mark.parametrize("size", [1, 3, 4, 5, 31])
def test_there_are_as_many_as_asked_for(size: int) -> None:
    assert len(make_batch(own_rows(), size)[0]) == size


def test_given_completions_are_taken_as_they_are() -> None:
    rows = [{"prompt": "p", "completion": "c", "completion_ids": [7]}, {"prompt": "q", "completion": None, "extra": 1}]
    batch, notes = make_batch(rows, 9)
    assert (batch.prompts, batch.completions) == (["p", "q"], ["c", ""])
    assert batch.columns == {"extra": [None, 1]}
    assert batch.completion_ids == [[99], []]
    assert len(notes) == 1


def test_known_tokens_stay() -> None:
    batch, notes = make_batch([{"prompt": "p", "completion": "", "completion_ids": []}], 1)
    assert (batch.completion_ids, notes) == ([[]], [])


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"solution": "s"}, "s"),
        ({"answer": None, "label": 3}, "3"),
        ({"answer": {"name": "f"}}, '{"name": "f"}'),
        ({"reward_model": {"ground_truth": "g"}}, "g"),
        ({}, "42"),
    ],
)
def test_replies_are_made_of_whatever_holds_the_answer(row: dict[str, Any], answer: str) -> None:
    batch, _ = make_batch([{"prompt": "p", **row}], 8)
    assert batch.completions[0] == answer
    assert len(batch) == 8


def test_completions_of_chats_are_messages() -> None:
    rows = [{"prompt": [{"role": "user", "content": "2 + 2?"}], "answer": "4"}]
    batch, _ = make_batch(rows, 1)
    assert batch.completions == [[{"role": "assistant", "content": "4"}]]
    assert is_chat(batch)
    as_chat, _ = make_batch([{"prompt": "p", "completion": "c"}], 1, chat=True)
    assert as_chat.prompts == [[{"role": "user", "content": "p"}]]
    assert as_chat.completions == [[{"role": "assistant", "content": "c"}]]


def test_columns_that_rollouts_are_passed_under_are_left_out() -> None:
    batch, notes = make_batch([{"prompt": "p", "completion": "c", "completions": 1, "log_extra": 2, "own": 3}], 1)
    assert set(batch.columns) == {"own"}
    assert "left out the columns completions, log_extra: rollouts are passed under those names" in notes


@pytest.mark.parametrize("bad", [5, ["text"], [], [{"content": "no role"}]])
def test_what_is_neither_text_nor_messages_is_refused(bad: Any) -> None:
    with pytest.raises(ConfigError, match="row 1: the completion is"):
        make_batch([{"completion": "fine"}, {"completion": bad}], 2)


def test_no_rows_are_refused() -> None:
    with pytest.raises(ConfigError, match="no rows"):
        make_batch([], 4)


def test_take_keeps_rows_together() -> None:
    batch, _ = make_batch(own_rows(), 8)
    part = take(batch, [5, 0])
    assert part.prompts == [batch.prompts[5], batch.prompts[0]]
    assert part.columns["answer"] == [batch.columns["answer"][5], batch.columns["answer"][0]]
    assert part.completion_ids == [token_ids(batch.completions[5]), token_ids(batch.completions[0])]


@pytest.mark.parametrize("chat", [False, True])
def test_cases_are_distinct_and_of_one_shape(chat: bool) -> None:
    found = cases(chat)
    assert len({case.name for case in found}) == len(found)
    assert {case.check for case in found} == {"empty", "long", "hostile"}
    assert all(isinstance(case.completion, str) is not chat for case in found)
    assert max(len(token_ids(case.completion)) for case in found) == VERY_LONG

"""API-Bank: its rows, and its scores against what the papers' scripts would say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.recipes import api_bank
from tests.data import api_bank as made

TRUTH = '{"name": "SetAlarm", "parameters": {"time": "07:30", "label": "tea"}}'
OTHER = '{"name": "SetAlarm", "parameters": {"time": "07:30"}}'


def response(*lines: str) -> str:
    return "<think>So be it.</think>\n<tool_call>\n" + "\n".join(lines) + "\n</tool_call>"


@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_rows_of_a_level(level: int, tmp_path: Path) -> None:
    path = made.api_bank_file(level, tmp_path)
    rows = api_bank.rows(str(path))
    given = json.loads(path.read_text())
    assert len(rows) == len(given) == (made.ROWS[level] if path.parent == made.REAL else 6)
    for row, entry in zip(rows, given, strict=True):
        call = entry["answer"][0] if isinstance(entry["answer"], list) else entry["answer"]
        assert json.loads(row["answer"]) == call
        assert [(m["role"], m["content"]) for m in row["prompt"]] == [
            ("system", entry["system"]),
            ("user", entry["user"]),
        ]
    own = [response(row["answer"]) for row in rows]
    assert set(api_bank.correct(own, [row["answer"] for row in rows])) == set(api_bank.format(own)) == {1.0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "holds no list"),
        ("nothing", "cannot be read as JSON"),
        ('[{"system": "a", "user": "b", "answer": []}]', "row 0: not {system, user, answer"),
        ('[{"system": "a", "user": "b", "answer": {"name": 1, "parameters": {}}}]', "row 0"),
    ],
)
def test_a_file_in_another_form(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        api_bank.rows(str(tmp_path / "x.json"))


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (response(TRUTH), 1),
        (response(OTHER), 0),
        (response(OTHER, TRUTH), 1),  # any of them
        (response("not JSON", "", TRUTH), 1),  # lines that are not JSON are passed over
        (response('{"time": "07:30", "label": "tea"}'), 1),  # parameters alone: the name is taken as right
        (response('{"name": "SetAlarm", "time": "07:30", "label": "tea"}'), 0),  # these are then all parameters
        (response(TRUTH.replace("SetAlarm", "setalarm")), 0),
        (response(TRUTH.replace('"07:30"', "7.5")), 0),
        (response(TRUTH.replace("}}", '}, "id": 1}')), 1),  # what else is in the call plays no part
        (response("[]", "3", "null", '"text"', TRUTH), 1),
        (TRUTH, 0),  # no call block
        (f"<tool_call>{TRUTH}", 0),
        (f"<tool_call>{TRUTH}</tool_call>", 1),
        (f"</tool_call><tool_call>{TRUTH}</tool_call>", 1),
        (f"{response(OTHER)}{response(TRUTH)}", 0),  # the first block counts
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", 0),
    ],
)
def test_correct(text: str, right: float) -> None:
    assert api_bank.correct([text], [TRUTH]) == [right]
    assert api_bank.correct([[{"role": "assistant", "content": text}]], [TRUTH], prompts=["p"]) == [right]


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        ("<think>a</think><tool_call>b</tool_call>", 1),
        ("<think>a</think> so <response>b</response> end", 1),
        ("<think>a</think><tool_call>b</tool_call><response>c</response>", 1),
        ("<think>a</think><response>c</response><tool_call>b</tool_call>", 0),
        ("<think>a</think>", 0),
        ("<tool_call>b</tool_call>", 0),
        ("<tool_call>b</tool_call><think>a</think>", 0),
        ("<think>a<tool_call>b</think></tool_call>", 0),
        ("</think>a<think><tool_call>b</tool_call>", 0),
        ("<think>a</think><tool_call>b", 0),
        ("<think>a</think><think>a</think><tool_call>b</tool_call>", 0),
        ("", 0),
    ],
)
def test_format(text: str, formed: float) -> None:
    assert api_bank.format([text], answer=[TRUTH]) == [formed]


@given(st.lists(st.sampled_from([*"{}[]\n", "<think>", "</think>", "<tool_call>", "</tool_call>", TRUTH, "1"])))
def test_any_text_is_scored(parts: list[Any]) -> None:
    text = "".join(parts)
    assert {*api_bank.correct([text], [TRUTH]), *api_bank.format([text])} <= {0.0, 1.0}


def test_the_papers_figures_are_means_of_five_runs_over_597_rows() -> None:
    """Every accuracy that the recipes quote is a whole number of right answers in 5 x 597."""
    from concord.run.config import load_config

    figures = [
        scores["correct"]["overall"]
        for name in ("tool_calling", "tool_calling_two_rewards")
        for published in [load_config(name).evaluations["api_bank"].published]
        if published
        for scores in published.figures.values()
    ]
    assert len(figures) == 8
    for figure in figures:
        assert round(round(figure * 5 * 597 / 100) / (5 * 597) * 100, 2) == figure

"""Tags, JSON and exact matches, and the fences that they look for."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from concord.rewards.builtin import exact_match, json_valid, tag_format
from concord.rewards.builtin.fences import Block, fenced_blocks

THINK = "<think>2 + 2</think>"
ANSWER = "<answer>4</answer>"


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (THINK + ANSWER, 1.0),
        (f"\n {THINK}\n\n{ANSWER} \n", 1.0),
        ("<think></think><answer></answer>", 1.0),
        ("<think>a\nb</think><answer><b>4</b></answer>", 1.0),
        (ANSWER + THINK, 0.0),
        (THINK, 0.0),
        ("So " + THINK + ANSWER, 0.0),
        (THINK + "so" + ANSWER, 0.0),
        (THINK + ANSWER + ".", 0.0),
        (THINK + THINK + ANSWER, 0.0),
        (THINK + ANSWER + ANSWER, 0.0),
        ("<think>write <answer> next</think>" + ANSWER, 0.0),
        ("<think><answer>4</answer></think>", 0.0),
        ("<think>2<answer>+</think>4</answer>", 0.0),
        ("</think>2<think>" + ANSWER, 0.0),
        ("<Think>2</Think>" + ANSWER, 0.0),
        ("", 0.0),
    ],
)
def test_the_tags_stand_once_in_order_and_alone(text: str, score: float) -> None:
    assert tag_format([text]) == [score]


def test_the_tags_are_those_asked_for() -> None:
    text = "<plan>1.</plan><code>2.</code><check-up>3.</check-up>"
    assert tag_format([text], tags=["plan", "code", "check-up"]) == [1.0]
    assert tag_format([text], tags=("plan", "code")) == [0.0]
    assert tag_format(["<answer>4</answer>"], tags=["answer"]) == [1.0]


@settings(deadline=None)  # the first example imports TRL
@given(st.lists(st.sampled_from(["<think>", "</think>", "<answer>", "</answer>", "x", " "]), max_size=8))
def test_what_passes_starts_as_trl_wants_it(parts: list[str]) -> None:
    format_rewards = pytest.importorskip("trl.rewards.format_rewards")
    text = "".join(parts).strip()
    if tag_format([text]) == [1.0]:
        assert format_rewards.think_format_reward([[{"role": "assistant", "content": text}]]) == [1.0]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"a": [1, -2.5e3, true, null, "\\u00e9"]}', 1.0),
        (" [] \n", 1.0),
        ('"text"', 1.0),
        ("7", 1.0),
        ("9" * 10_000, 1.0),
        ("As asked:\n```json\n{}\n```\nDone.", 1.0),
        ("```\n[1]\n```", 1.0),
        ("```json\n{,}\n```\n```json\n{}\n```", 0.0),
        ("```json\n{}", 0.0),
        ("{} {}", 0.0),
        ("{'a': 1}", 0.0),
        ('{"a": 1,}', 0.0),
        ("NaN", 0.0),
        ('{"a": -Infinity}', 0.0),
        ("True", 0.0),
        ('"a\nb"', 0.0),
        ("\ufeff{}", 0.0),
        ("[" * 100_000 + "]" * 100_000, 0.0),
        ("", 0.0),
        ("\0", 0.0),
    ],
)
def test_json_is_what_the_standard_calls_so(text: str, score: float) -> None:
    assert json_valid([text]) == [score]


def test_required_keys_need_an_object_that_has_them() -> None:
    texts = [
        '{"name": "A", "age": 1}',
        '{"name": "A"}',
        '["name", "age"]',
        '"name age"',
        "```\n" + '{"age":1,"name":2}\n```',
    ]
    assert json_valid(texts, required=["name", "age"]) == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert json_valid(["[]"], required=[]) == [1.0]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(values)
def test_what_is_written_as_json_is_valid(value: object) -> None:
    text = json.dumps(value)
    assert json_valid([text, f"So:\n```json\n{text}\n```"]) == [1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("```python\nx\n```", [Block("python", "x")]),
        ("```Python title=a.py\nx\n```", [Block("python", "x")]),
        ("```\n\n```", [Block("", "")]),
        ("```\n```", [Block("", "")]),
        ("a\n```py\r\nx\r\ny\r\n```\r\nb", [Block("py", "x\ny")]),
        ("~~~\n```\nx\n```\n~~~", [Block("", "```\nx\n```")]),
        ("````md\n```\nx\n```\n````", [Block("md", "```\nx\n```")]),
        ("- so\n  ```py\n  if x:\n    y\n z\n  ```", [Block("py", "if x:\n  y\nz")]),
        ("```py\nx\n```\n```js\ny\n```", [Block("py", "x"), Block("js", "y")]),
        ('```py\ns = "\u2028"\x0c\n```', [Block("py", 's = "\u2028"\x0c')]),
        ("```py\nx\n``", []),
        ("```inline``` text", []),
        ("say ```py\nx\n```", []),
        ("``\nx\n``", []),
        ("", []),
    ],
)
def test_fenced_blocks(text: str, blocks: list[Block]) -> None:
    assert fenced_blocks(text) == blocks


def test_an_exact_match_is_exact_but_for_white_space_around_it() -> None:
    said = ["Paris", " Paris\n", "paris", "Paris.", "Pa ris", "", "Par\u0069s"]
    assert exact_match(said, ["Paris"] * 7) == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert exact_match(["stra\u00dfe", "x"], ["STRASSE", "X"], casefold=True) == [1.0, 1.0]
    assert exact_match(["42", "True", "", "?"], [42, True, "", None]) == [1.0, 1.0, 1.0, None]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        (THINK + ANSWER, 1.0),
        ("<answer> 4\n</answer> as said", 1.0),
        ("<answer>5</answer> no, <answer>4</answer>", 1.0),
        ("<answer>4</answer> no, <answer>5</answer>", 0.0),
        ("<answer>4</answer> no, <answer>", 0.0),
        ("4", 0.0),
        ("<answer>4", 0.0),
        ("4</answer>", 0.0),
        ("</answer>4<answer>", 0.0),
    ],
)
def test_a_match_within_a_tag_is_with_the_last_pair(text: str, score: float) -> None:
    assert exact_match([text], ["4"], tag="answer") == [score]

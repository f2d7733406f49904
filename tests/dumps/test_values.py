"""Numbers and texts as writers put them down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from concord.dumps.values import fact, is_number, number, split_conversation, text, whole


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1, 1.0), (True, 1.0), (False, 0.0), (0.5, 0.5), ("0.5", 0.5), (" 1e-3 ", 0.001), ("True", 1.0), ("False", 0.0),
        ("np.float64(0.5)", 0.5), ("np.True_", math.inf), ("tensor(0.25, device='cuda:0')", 0.25),
        ("float32(2)", 2.0), ([3], 3.0), (["0.5"], 0.5), (np.float64(0.5), 0.5),
        (math.inf, math.inf), (-math.inf, -math.inf), ("inf", math.inf), (10**400, math.inf), ("", math.nan),
        (None, math.nan), (math.nan, math.nan), ("NaN", math.nan), ("None", math.nan), ([], math.inf),
        ([1, 2], math.inf), ([[1]], math.inf), ({}, math.inf), ("42 apples", math.inf), ("np.float64(nan)", math.nan),
        ("tensor([0.5])", math.inf), ("__import__('os')", math.inf), ("np.float64(" * 50, math.inf),
    ],
)  # fmt: skip
def test_scores(written: Any, read: float) -> None:
    found = number(written)
    assert (math.isnan(found) and math.isnan(read)) or found == read


def test_what_is_a_number_by_itself() -> None:
    assert all(map(is_number, [1, 0.5, True, math.nan, "np.float64(0.5)"]))
    assert not any(map(is_number, ["0.5", "42", "", None, [1], "np.float64(nope)", {}]))


def test_facts_are_never_infinite() -> None:
    assert math.isnan(fact("none of it"))
    assert math.isnan(fact(math.inf))
    assert fact("3") == 3


def test_whole_numbers() -> None:
    assert [whole(value) for value in (7, "7", 7.0, "7.0", True, -7)] == [7, 7, 7, 7, 1, -7]
    assert [whole(value) for value in ("x", 7.5, None, math.nan, math.inf, [], 2**63, 1e300)] == [None] * 8


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("plain", "plain"), (None, ""), (42, "42"), ([], ""), (["a", "b"], "a\nb"), ({"content": "c"}, "c"),
        ([{"role": "user", "content": "one"}], "one"),
        ([{"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image"}]}], "look\n"),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": None}], "[user]\na\n\n[assistant]\n"),
        ([{"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]}], '{"name": "f"}'),
        ("half a pair: \ud83d", "half a pair: ?"), ("whole: \U0001f600", "whole: \U0001f600"),
    ],
)  # fmt: skip
def test_texts(written: Any, read: str) -> None:
    assert text(written) == read
    text(written).encode()


def test_conversations_are_split_before_the_first_answer() -> None:
    talk = [{"role": r, "content": r} for r in ("system", "user", "assistant", "tool", "assistant")]
    prompt, completion = split_conversation(talk)
    assert prompt == "[system]\nsystem\n\n[user]\nuser"
    assert completion.count("[assistant]") == 2
    assert split_conversation("no list") == ("no list", "")
    assert split_conversation([{"role": "user", "content": "q"}]) == ("q", "")

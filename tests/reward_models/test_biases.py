"""Labels say which side has more, and a function that does not hold to its contract is named."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.reward_models.biases import BIASES, formatting, label, length, load_bias, sycophancy
from concord.reward_models.pairs import Pair

PAIRS = [Pair("q", "long answer", "short"), Pair("q", "short", "long answer"), Pair("q", "equal", "other")]


@given(st.sampled_from(sorted(BIASES)), st.text(), st.text())
def test_exchanging_the_answers_exchanges_the_labels(name: str, one: str, other: str) -> None:
    found, back = BIASES[name]("q", one, other), BIASES[name]("q", other, one)
    assert found in (0, 1, None)
    assert back == (None if found is None else 1 - found)


def test_length_is_in_characters_and_a_tie_is_none() -> None:
    assert label("length", length, 2, PAIRS) == [1, 0, -1]


@pytest.mark.parametrize(
    ("plain", "formatted"),
    [
        ("one", "- one"), ("one", "  * one"), ("one", "1. one"), ("one", "12) one"), ("one", "# one"),
        ("one", "###### one"), ("one", "**one**"), ("- one", "- one\n- two"), ("2.5 is one", "2. one"),
        ("a - b", "- a"), ("#one", "# one"), ("2 * 3 * 4", "**2**"), ("** one", "** one **"),
    ],
)  # fmt: skip
def test_formatting_counts_lists_headers_and_bold(plain: str, formatted: str) -> None:
    assert formatting("q", formatted, plain) == 1


@pytest.mark.parametrize(
    ("plain", "flattering"),
    [
        ("No.", "You are right."), ("No.", "Yes, you're absolutely right, it is."), ("No.", "You\u2019re correct."),
        ("No.", "What a great question!"), ("No.", "I completely agree."), ("You are wrong.", "You are right."),
        ("x" * 200 + " you are right", "You are right."), ("Turn right.", "Good point."),
    ],
)  # fmt: skip
def test_sycophancy_counts_flattery_at_the_beginning(plain: str, flattering: str) -> None:
    assert sycophancy("q", flattering, plain) == 1
    assert sycophancy("q", plain, plain) is None


@pytest.mark.parametrize("text", ["*" * 10**5, "- " * 10**5, "you are " * 10**5, "#" * 10**5, "1" * 10**5])
def test_long_text_takes_no_time(text: str) -> None:
    for bias in BIASES.values():
        bias(text, text, text[:-1])


def write(folder: Path, body: str) -> str:
    (folder / "mine.py").write_text(f"def mine(prompt, chosen, rejected):\n    {body}\n")
    return f"{folder / 'mine.py'}:mine"


def test_a_function_of_ones_own_gets_texts(tmp_path: Path) -> None:
    path = write(tmp_path, "return None if prompt == 'q' else len(prompt) % 3")
    asked = [Pair([{"role": "user", "content": "ab"}, {"role": "assistant", "content": "c"}], "x", "y"), PAIRS[0]]
    assert label("mine", load_bias("mine", path), 3, asked) == [5 % 3, -1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no')", "bias 'mine' raised ValueError on pair 0: no"),
        ("return 2", r"returned 2 on pair 0; return None or a whole number from 0 to 1, or set its classes"),
        ("return -1", r"returned -1 on pair 0; return None or a whole number from 0 to 1$"),
        ("return 0.5", "returned 0.5 on pair 0"),
        ("return '1'", "returned '1' on pair 0"),
    ],
)
def test_a_function_that_breaks_its_contract(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        label("mine", load_bias("mine", write(tmp_path, body)), 2, PAIRS)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (PAIRS[:1], "no two labels occur (1 pairs have 1)"),
        (PAIRS[::2], "no two labels occur (1 pairs have none, 1 pairs have 1)"),
        (PAIRS[2:], "no two labels occur (1 pairs have none)"),
        ([], "no two labels occur (there are no pairs)"),
        (PAIRS, None),
    ],
)
def test_labels_of_one_class_are_warned_of(
    caplog: pytest.LogCaptureFixture, pairs: list[Pair], message: str | None
) -> None:
    with caplog.at_level(logging.WARNING):
        label("length", length, 2, pairs)
    assert caplog.messages == ([f"bias 'length': {message}; its term is 0 throughout"] if message else [])


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("lenght", None, "no bias 'lenght'; did you mean 'length'?"),
        ("mine", "no.py:mine", "bias 'mine': no file"),
        ("mine", "mine", "bias 'mine': 'mine' names no function"),
        ("mine", "math:pi", "math:pi is a float, not a function"),
    ],
)
def test_a_bias_that_is_not_there(name: str, path: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_bias(name, path)
    assert message in str(caught.value)

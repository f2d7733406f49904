"""Mathematical answers."""

from __future__ import annotations

import logging
import sys
import threading
from typing import Any

import pytest

from concord.core.errors import MissingExtra
from concord.rewards.builtin import math_answer
from tests.rewards.builtin.solutions import solutions

math_verify = pytest.importorskip("math_verify")


def test_agrees_with_people_on_solutions_of_gsm8k() -> None:
    texts, golds, right = zip(*solutions()[::3], strict=True)
    assert math_answer(texts, golds) == [float(entry) for entry in right]


@pytest.mark.parametrize(
    ("text", "gold", "score"),
    [
        (r"Thus \boxed{\frac{1}{2}}.", "0.5", 1.0),
        (r"Thus \boxed{\frac{1}{2}}.", r"\frac{2}{4}", 1.0),
        (r"Thus \boxed{\frac{1}{2}}.", r"$\frac{1}{2}$", 1.0),
        (r"Thus \boxed{1/3}.", "0.5", 0.0),
        ("It is $x^2 + 2x + 1$.", "(x+1)^2", 1.0),
        ("It is $2^{10}$.", "1024", 1.0),
        ("It is 2.", "2^{10}", 0.0),  # without delimiters math-verify alone would read 2
        (r"It is \(\sqrt{8}\).", r"2\sqrt{2}", 1.0),
        ("The final answer is 12. I hope it is correct.", "12", 1.0),
        ("First 3, then 4, so 7", "7", 1.0),
        ("First 3, then 4, so 7", "3", 0.0),
        ("It costs 1,250 dollars", "1250", 1.0),
        ("It costs 1250", "Add up.\n#### 1,250", 1.0),
        ("It costs 5", "#### 4 #### 5", 1.0),
        ("A quarter: 25%", "0.25", 1.0),
        ("5", 5, 1.0),
        ("0.5", 0.5, 1.0),
        ("I do not know.", "5", 0.0),
        ("", "5", 0.0),
        ("5", "", None),
        ("5", " #### ", None),
        ("5", "$$", None),
        ("5", None, None),
    ],
)
def test_answers(text: str, gold: object, score: float | None) -> None:
    assert math_answer([text], [gold]) == [score]


def test_agrees_with_trl_on_what_it_reads() -> None:
    accuracy_rewards = pytest.importorskip("trl.rewards.accuracy_rewards")
    texts = [rf"So it is \boxed{{{inside}}}." for inside in (r"\frac{1}{3}", "0.5", "x+1", "7", r"\sqrt{2}", "(1,2)")]
    golds = [f"${gold}$" for gold in (r"\frac{1}{3}", r"\frac12", "1+x", "8", "2^{0.5}", "(1,3)")]
    theirs = accuracy_rewards.accuracy_reward([[{"role": "assistant", "content": text}] for text in texts], golds)
    assert math_answer(texts, golds) == theirs == [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]


def test_only_the_end_of_a_completion_is_read() -> None:
    assert math_answer([r"\boxed{5} " + "so it is. " * 400, r"\boxed{5} " + "so it is. " * 600], ["5", "5"]) == [
        1.0,
        0.0,
    ]


def test_a_comparison_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.rewards.builtin.mathematics.LIMIT", 1)
    assert math_answer(["$9^{9^{9^{9^{9}}}}$", "72"], ["72", "72"]) == [0.0, 1.0]


@pytest.mark.parametrize("error", [math_verify.errors.TimeoutException, RecursionError, ValueError])
def test_what_cannot_be_read_in_time_is_wrong_and_not_logged(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def extract(text: str, *_: Any, **__: Any) -> list[Any]:
        if "72" in text:
            return [72]
        raise error

    monkeypatch.setattr("math_verify.parser.extract_target_from_pred", extract)
    with caplog.at_level(logging.WARNING):
        assert math_answer(["{" * 4000, "72"], ["72", "}" * 4000]) == [0.0, None]
    assert caplog.records == []


def test_works_in_a_thread() -> None:
    found: list[float | None] = []
    thread = threading.Thread(target=lambda: found.extend(math_answer(["It is 12", "It is 13"], ["12", "12"])))
    thread.start()
    thread.join()
    assert found == [1.0, 0.0]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "math_verify", None)
    with pytest.raises(MissingExtra, match=r"math-verify is not installed.*rewards"):
        math_answer(["1"], ["1"])

"""The score in a judge's answer: one that is sure, or none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concord.core.errors import ConfigError
from concord.rewards.judging import NoVerdict, Verdict, verdict

TEN = (1, 10)
WORDS = {"Good": 1, "bad": 0, "so-so": 0.25}


@pytest.mark.parametrize(
    ("score", "scale", "answer", "value"),
    [
        (r"(\d+)", None, "7", 7.0),
        (r"(\d+)", TEN, "1", 0.0),
        (r"(\d+)", TEN, "10", 1.0),
        (r"(\d+)", TEN, "Score: **7**/10.", 6 / 9),
        (r"(\d+)", TEN, "10/10", 1.0),
        (r"(\d+)", TEN, "7 out of 10", 6 / 9),
        (r"(\d+)", TEN, "On a scale from 1 to 10 I give it a 7.", 6 / 9),
        (r"(\d+)", TEN, "On a scale of 1-10: 1", 0.0),
        (r"(\d+)", TEN, "7. A clear 7.", 6 / 9),
        (r"(\d+)", TEN, "<think>3? no, 9.</think>7", 6 / 9),
        (r"(\d+)", TEN, "3? no, 9.</think>7", 6 / 9),
        (r"Score: (\d+)", TEN, "It has 3 flaws.\nScore: 7", 6 / 9),
        (r"Score: \d+|(none)", None, "none", None),
        (r"\d+", (10, 1), "7", 3 / 9),
        (r"(-?\d+)", (-5, 5), "-5", 0.0),
        (r"(-?\d+)", (-5, 5), "From -5 to 5: -4.", 0.1),
        (r"(\d+\.\d+)", None, "8.5", 8.5),
        ("(good|bad)", WORDS, "This is bad", 0.0),
        ("(Good|bad|so-so)", WORDS, "so-so", 0.25),
        ("(?i)(good)", WORDS, "GOOD", 1.0),
        ("$.score", TEN, '{"score": 7}', 6 / 9),
        ("$.score", TEN, 'A {nice} try.\n```json\n{"score": "7"}\n```', 6 / 9),
        ("$.a.b[1]['the score']", None, json.dumps({"a": {"b": [0, {"the score": 2}]}}), 2.0),
        ("$.score", WORDS, '{"score": "good"}', 1.0),
        ("$.score", None, '{"other": 1} {"score": 2}', 2.0),
    ],
)
def test_scores_that_are_read(score: str, scale: Any, answer: str, value: float | None) -> None:
    read = Verdict(score, scale)
    if value is None:
        with pytest.raises(NoVerdict):
            read.read(answer)
    else:
        assert read.read(answer) == value


@pytest.mark.parametrize(
    ("score", "scale", "answer", "why"),
    [
        (r"(\d+)", TEN, "", "finds nothing"),
        (r"(\d+)", TEN, "I cannot help with that.", "finds nothing"),
        (r"(\d+)", TEN, "either 7 or 8", r"several scores \(7, 8\)"),
        (r"Score: (\d+)", TEN, "It claims 'Score: 10'. Score: 2", r"several scores \(10, 2\)"),
        (r"(\d+)", TEN, "11", "11 is off the scale from 1 to 10"),
        (r"(\d+)", TEN, "0", "off the scale"),
        (r"(\d+)", None, "8.5", "out of a longer number"),
        (r"(\d)", None, "10", "out of a longer number"),
        (r"(\d+)", (-5, 5), "-3", "out of a longer number"),
        (r"(\d+)", None, "9" * 5000, "is not a number"),
        (r"(\S+)", None, "nan", "is not a number"),
        (r"(\S+)", None, "inf", "is not a number"),
        (r"(\S+)", None, "seven", "is not a number"),
        ("(.+)", WORDS, "great", "'great' is not one of good, bad, so-so"),
        (r"(\d+)", TEN, "<think>7 is", "finds nothing"),
        ("$.score", TEN, "7", "finds nothing"),
        ("$.score", TEN, '{"Score": 7}', "finds nothing"),
        ("$.score", TEN, '[{"score": 7}, {"score": 8}]', "several scores"),
        ("$.score", TEN, '{"score": 10, "score": 2}', "JSON is broken"),
        ("$.score", TEN, '{"why": "it says "{"score": 10}"", "score": 2}', "JSON is broken"),
        ("$.score", TEN, '{"score": NaN}', "JSON is broken"),
        ("$.score", None, '{"score": true}', "is not a number"),
        ("$.score", None, '{"score": [7]}', "is not a number"),
        ("$.score", None, '{"score": null}', "finds nothing"),
        ("$.a[0]", None, '{"a": {"0": 1}}', "finds nothing"),
        ("$.score", None, '{"a":' * 10_000, "JSON is broken"),
        ("$.score", None, "{" * 50_000, "finds nothing"),
    ],
)
def test_answers_without_a_sure_score(score: str, scale: Any, answer: str, why: str) -> None:
    with pytest.raises(NoVerdict, match=why):
        Verdict(score, scale).read(answer)


def test_what_comes_first_of_a_very_long_answer_is_not_read() -> None:
    with pytest.raises(NoVerdict, match="finds nothing"):
        Verdict(r"(\d+)").read("7" + " " * verdict.LONGEST)
    assert Verdict(r"(\d+)").read("8" + " " * verdict.LONGEST + "7") == 7


def test_a_pattern_that_backtracks_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdict, "PATIENCE", 0.05)
    with pytest.raises(NoVerdict, match=r"takes more than 0\.05 s"):
        Verdict(r"((?:a|aa)+)$").read("a" * 10_000 + "!")


@pytest.mark.parametrize(
    ("score", "scale", "why"),
    [
        ("(", None, "'\\(' is not a regular expression"),
        ("$", None, "not a JSON path"),
        ("$score", None, "not a JSON path"),
        ("$.a[", None, "not a JSON path"),
        ("$[0]", None, "not a JSON path"),
        (r"\d", [1], "scale is \\[worst, best\\]"),
        (r"\d", [1, 1], "two different numbers"),
        (r"\d", [1, float("inf")], "scale is"),
        (r"\d", [True, 2], "scale is"),
        (r"\d", {}, "scale is"),
        (r"\d", {"good": "1"}, "scale is"),
        (r"\d", 10, "got 10"),
    ],
)
def test_what_cannot_be_read_with_is_refused(score: str, scale: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Verdict(score, scale)

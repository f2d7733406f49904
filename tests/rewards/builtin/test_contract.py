"""What holds for every built-in reward: one score each, within its range, whatever the text and its neighbours."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from concord.core.errors import ConfigError
from concord.rewards import builtin
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect


@functools.lru_cache(32)
def tokens(text: str) -> list[int]:
    return list(map(ord, text))


@dataclass(frozen=True)
class Case:
    """A reward as a configuration would name it."""

    name: str
    low: float
    high: float
    options: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    slow: bool = False

    @property
    def function(self) -> Callable[..., list[float | None]]:
        function: Callable[..., list[float | None]] = getattr(builtin, self.name)
        return function

    def scores(self, texts: list[Any]) -> list[float | None]:
        """As TRL asks: everything by keyword, more than the function reads."""
        columns = {name: [value] * len(texts) for name, value in self.columns.items()}
        ids = [tokens(text) if isinstance(text, str) else [1] for text in texts]
        return self.function(
            prompts=["?"] * len(texts), completions=texts, completion_ids=ids, trainer_state=None, log_extra=None,
            log_metric=None, source=["x"] * len(texts), **columns, **self.options,
        )  # fmt: skip


CASES = [
    Case("tag_format", 0, 1),
    Case("json_valid", 0, 1, {"required": ["a"]}),
    Case("exact_match", 0, 1, {"tag": "answer", "casefold": True}, {"answer": "a"}),
    Case("math_answer", 0, 1, {}, {"answer": "1"}, slow=True),
    Case("length_target", 0, 1, {"target": 3}),
    Case("length_range", 0, 1, {"low": 2, "high": 3, "unit": "words"}),
    Case("length_budget", 0, 1, {"budget": 3, "unit": "characters"}),
    Case("soft_overlong", -1, 0, {"max_length": 5, "cache": 2}),
    Case("repetition_penalty", -0.5, 0, {"n": 2, "max_penalty": 0.5}),
    Case("in_language", 0, 1, {"language": "en", "min_letters": 3}, slow=True),
    Case("code_tests", 0, 1, {"timeout": 30, "parallel": 2}, {"tests": ["assert x == 1", "assert y"]}, slow=True),
]

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)

PIECES = [
    "<think>",
    "</think>",
    "<answer>",
    "</answer>",
    "a",
    "1",
    " ",
    "\n",
    "{",
    "}",
    '"a":1',
    "```",
    "```py\nx=1\n",
    "$",
]
texts = st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=8).map("".join), max_size=5)


def test_every_reward_has_a_case() -> None:
    assert sorted(builtin.__all__) == sorted(case.name for case in CASES)


def same(a: list[float | None], b: list[float | None]) -> bool:
    return len(a) == len(b) and all(
        x == y or (x is not None and y is not None and math.isclose(x, y)) for x, y in zip(a, b, strict=True)
    )


@every
def test_one_score_each_in_range_and_by_itself(case: Case) -> None:
    @settings(deadline=None, max_examples=5 if case.slow else 50, suppress_health_check=list(HealthCheck))
    @given(texts)
    def check(batch: list[str]) -> None:
        found = case.scores(batch)
        assert len(found) == len(batch)
        assert all(score is None or (type(score) is float and case.low <= score <= case.high) for score in found)
        assert same(case.scores(batch[::-1]), found[::-1])
        if not case.slow:
            assert same([case.scores([text])[0] for text in batch], found)

    check()


@every
def test_messages_score_as_their_text(case: Case) -> None:
    texts = ["<think>a</think><answer>a</answer>", '{"a": 1}', "```\nx = 1\n```"]
    messages = [[{"role": "assistant", "content": text}] for text in texts]
    if case.options.get("unit", "tokens") != "tokens" or case.name not in (
        "length_target",
        "soft_overlong",
        "repetition_penalty",
    ):
        assert same(case.scores(messages), case.scores(texts))


@every
def test_is_found_by_its_path_and_taken_for_trls(case: Case) -> None:
    form = detect(case.function).form
    assert form.name == "trl"
    bound = form.bind(case.function, case.options)
    batch = RewardBatch(["?"], ["a b"], [[1, 2]], {name: [value] for name, value in case.columns.items()})
    call = form.call(batch, bound)
    assert len(bound(**call.arguments)) == 1
    with pytest.raises(ConfigError, match="takes no option"):
        form.bind(case.function, {"no_such_option": 1})


MANY = 1_000_000
LONG = {
    "words": "a b " * (MANY // 4),
    "tags": "<think></think><answer>" * (MANY // 23),
    "one tag": "<think>" + "<" * MANY,
    "lines": "\n" * MANY,
    "backticks": "`" * MANY,
    "unclosed fences": "````\n```\n" * (MANY // 9),
    "brackets": "[" * MANY,
    "quotes": '"\\' * (MANY // 2),
    "accents": "a" + "\u0315\u0300\u05ae\u0301" * (MANY // 4),
    "surrogates": "\ud800" * MANY,
}


@every
def test_hostile_text_of_a_million_characters_scores(case: Case) -> None:
    # A quadratic scan would not come back from this within the tests' time limit.
    names = ["words", "unclosed fences", "accents"] if case.slow else list(LONG)
    found = case.scores([LONG[name] for name in names])
    assert all(score is None or case.low <= score <= case.high for score in found)


def test_deep_json_and_code_in_a_block_score() -> None:
    deep = "```json\n" + "[" * MANY + "\n```"
    assert builtin.json_valid([deep]) == [0.0]
    assert builtin.code_tests([deep.replace("json", "python")], [["assert True"]], timeout=60) == [0.0]


OPTIONS: list[tuple[str, dict[str, Any], str]] = [
    ("tag_format", {"tags": []}, "tags must be distinct names"),
    ("tag_format", {"tags": ["a", "a"]}, "tags must be distinct names"),
    ("tag_format", {"tags": ["<a>"]}, "tags must be distinct names"),
    ("tag_format", {"tags": "think"}, "tags must be a list of strings, got 'think'"),
    ("json_valid", {"required": "name"}, "required must be a list of strings"),
    ("exact_match", {"tag": ""}, "tag must be a name"),
    ("exact_match", {"casefold": "no"}, "casefold must be true or false"),
    ("length_target", {"target": 0}, "target must be a whole number of at least 1, got 0"),
    ("length_target", {"target": True}, "target must be a whole number"),
    ("length_target", {"target": 1.5}, "target must be a whole number"),
    ("length_target", {"target": [5, 6]}, "target must be a whole number"),  # a column of that name
    ("length_target", {"unit": "word"}, "unit is one of tokens, words, characters; got 'word'; did you mean 'words'"),
    ("length_range", {"low": 4}, "low must not be above high, got low 4 and high 3"),
    ("length_range", {"low": -1}, "low must be a whole number of at least 0"),
    ("length_budget", {"budget": "3"}, "budget must be a whole number"),
    ("soft_overlong", {"cache": 6}, "cache is the last part of max_length, got cache 6 and max_length 5"),
    ("soft_overlong", {"cache": -1}, "cache must be a whole number of at least 0"),
    ("repetition_penalty", {"n": 0}, "n must be a whole number"),
    ("repetition_penalty", {"max_penalty": -1.0}, "max_penalty must be a number above 0, got -1.0"),
    ("repetition_penalty", {"max_penalty": math.inf}, "max_penalty must be a number above 0"),
    ("in_language", {"language": "englisch"}, "language is one of"),
    ("in_language", {"min_letters": 0}, "min_letters must be a whole number"),
    ("code_tests", {"timeout": 0}, "timeout must be a number above 0"),
    ("code_tests", {"memory_mb": 0.5}, "memory_mb must be a whole number"),
    ("code_tests", {"parallel": 0}, "parallel must be a whole number"),
]


@pytest.mark.parametrize(("name", "options", "message"), OPTIONS)
def test_a_wrong_option_is_named_even_if_there_is_nothing_to_score(
    name: str, options: dict[str, Any], message: str
) -> None:
    case = next(case for case in CASES if case.name == name)
    columns = {column: [] for column in case.columns}
    with pytest.raises(ConfigError, match=message):
        case.function(completions=[], completion_ids=[], **columns, **{**case.options, **options})


def test_options_may_be_bound_beforehand() -> None:
    target = functools.partial(builtin.length_target, target=2, unit="words")
    assert target(completions=["a b"]) == [1.0]

"""verifiers' form (v0): functions by name, groups, Rubrics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from concord.core.errors import ConfigError, MissingColumn
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.verifiers import Verifiers, VerifiersGroup
from tests.rewards.forms.asking import ANSWERS, CHATS, ask, with_columns


async def correct(completion: Any, answer: str) -> float | None:
    said = completion[-1]["content"]
    return None if said.isalpha() else float(said == answer)


def plain_correct(completion: Any, answer: str, **kwargs: Any) -> float | None:
    said: str = completion[-1]["content"]
    return None if said.isalpha() else float(said == answer)


def length(completion: Any) -> int:
    return len(completion[-1]["content"])


async def unique(completions: list[Any]) -> list[float]:
    said = [c[-1]["content"] for c in completions]
    return [float(said.count(s) == 1) for s in said]


def rubric(funcs: list[Any], weights: list[float] | None = None, **attributes: Any) -> Any:
    """The attributes by which a Rubric is known."""
    return SimpleNamespace(funcs=funcs, weights=weights or [1.0] * len(funcs), **attributes)


@pytest.mark.parametrize("function", [correct, plain_correct])
@pytest.mark.parametrize("batch", [ANSWERS, CHATS])
def test_a_function_gets_messages_whatever_the_completions_are(function: Any, batch: RewardBatch) -> None:
    assert ask(function, batch) == {"score": [1.0, None, 1.0][: len(batch)]}


def test_it_asks_by_name_for_what_it_reads() -> None:
    def shows(prompt: Any, state: Any, info: Any, task: Any, parser: Any, completion: Any, level: int) -> Any:
        same = all(state[name] is value for name, value in (("prompt", prompt), ("info", info)))
        return prompt[0]["role"], parser.parse_answer(completion), info, task, level, state["input"]["level"], same

    batch = with_columns(level=[1, 2, 3], info=['{"a": 1}', {"b": 2}, None])
    assert ask(shows, batch)["score"] == [
        ("user", "2", {"a": 1}, "default", 1, 1, True),
        ("user", "two", {"b": 2}, "default", 2, 2, True),
        ("user", "5", {}, "default", 3, 3, True),
    ]


def test_an_info_column_that_is_something_else_is_left_alone() -> None:
    assert ask(lambda completion, info: info, with_columns(info=["no JSON", "[1]", ""]))["score"] == [
        "no JSON",
        [1],
        "",
    ]


def test_the_parser_takes_the_assistants_last_message() -> None:
    def said(completion: Any, parser: Any) -> Any:
        return parser.parse_answer(completion), len(parser.get_assistant_messages(completion)), parser.parse("x")

    talk = [{"role": role, "content": role[0]} for role in ("assistant", "tool", "assistant", "user")]
    batch = RewardBatch(["p", "p"], [talk, talk[1:2]])
    assert ask(said, batch)["score"] == [("a", 2, "x"), (None, 0, "x")]


def test_options_are_keyword_arguments() -> None:
    def scaled(completion: Any, scale: int = 1) -> int:
        return scale

    assert ask(scaled, with_columns(scale=[7, 8, 9]), scale=2) == {"score": [2] * 3}
    assert ask(scaled, with_columns(scale=[7, 8, 9])) == {"score": [7, 8, 9]}
    with pytest.raises(ConfigError, match="takes no option 'sclae'; did you mean 'scale'"):
        ask(scaled, sclae=2)
    with pytest.raises(ConfigError, match=r"option 'state' of scaled.. is what verifiers passes itself"):
        ask(scaled, state={})
    with pytest.raises(ConfigError, match="a Rubric takes no options"):
        ask(rubric([scaled]), scale=2)


def test_a_group_function_is_asked_about_one_prompt_at_a_time() -> None:
    batch = RewardBatch(["a", "b", "a", "a"], ["x", "x", "x", "y"])
    assert ask(unique, batch, form="verifiers") == {"score": [0.0, 1.0, 0.0, 1.0]}


def test_a_group_function_gets_the_plural_of_everything() -> None:
    def shows(prompts: Any, completions: Any, answers: Any, states: Any, infos: Any, tasks: Any, parser: Any) -> Any:
        return list(zip(answers, [state["answer"] for state in states], infos, tasks, strict=True))

    assert ask(shows)["score"] == [("2", "2", {}, "default"), ("2", "2", {}, "default"), ("5", "5", {}, "default")]


def test_a_group_function_of_the_wrong_length() -> None:
    with pytest.raises(Unreadable, match="returned 1 score for 2 completions"):
        ask(lambda completions, states: [1.0])


def test_a_rubric_gives_each_function_a_column_and_their_weighted_sum() -> None:
    columns = ask(rubric([plain_correct, length], [1.0, 0.1]), with_columns(CHATS, answer=["3"]))
    assert columns == {"score": [0.1], "plain_correct": [0.0], "length": [1]}


def test_a_rubric_with_a_coroutine_function_and_a_group_function() -> None:
    columns = ask(rubric([correct, length, unique], [1.0, 0.5, 2.0]), with_columns(answer=["2", "2", "6"]))
    assert columns["correct"] == [1.0, None, 0.0]
    assert columns["unique"] == [1.0, 1.0, 1.0]
    assert columns["score"] == [3.5, None, 2.5]


def test_a_function_without_weight_may_abstain_without_a_loss() -> None:
    assert ask(rubric([correct, length], [0.0, 1.0]))["score"] == [1.0, 3.0, 1.0]


def test_functions_go_in_order_and_share_the_state() -> None:
    def first(completion: Any, state: Any) -> int:
        state["found"] = len(completion[-1]["content"])
        return 0

    def second(state: Any) -> int:
        found: int = state["found"]
        return found

    assert ask(rubric([first, second]))["score"] == [1, 3, 1]


def test_the_objects_of_a_rubric_are_passed_by_name() -> None:
    def judged(completion: Any, judge: Any, parser: Any) -> Any:
        return judge, parser

    assert ask(rubric([judged], [0.0], class_objects={"judge": "j", "parser": "p"}))["judged"] == [("j", "p")] * 3
    assert ask(rubric([judged], [0.0], parser="q", class_objects={"judge": "j"}))["judged"] == [("j", "q")] * 3


def test_a_group_of_rubrics_is_one_rubric() -> None:
    group = SimpleNamespace(rubrics=[rubric([correct], [2.0]), rubric([length], [0.5])], funcs=[], weights=[])
    assert ask(group)["score"] == [2.5, None, 2.5]


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (rubric([]), "has no reward functions"),
        (rubric([length, length]), "has 'length' twice; each function's name is a column"),
        (rubric([length], [1.0, 2.0]), "a Rubric has 1 functions and 2 weights"),
        (rubric([3]), "not a function"),
    ],
)
def test_rubrics_that_make_no_sense(odd: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ask(odd)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (correct, r"correct\(\) asks for 'answer', .*did you mean 'answers'"),
        (rubric([length, correct]), r"correct\(\) asks for 'answer'"),
        (lambda completions, answers, states: [], r"asks for 'answers'"),
        (lambda completion, judge: 0.0, r"asks for 'judge', .* they have: answers"),
    ],
)
def test_what_nobody_knows_is_named(target: Any, said: str) -> None:
    with pytest.raises(MissingColumn, match=said):
        ask(target, with_columns(answers=["2", "2", "5"]))


def test_a_function_that_raises_has_failed() -> None:
    def fails(completion: Any) -> float:
        raise LookupError("no such answer")

    for target in (fails, rubric([length, fails])):
        with pytest.raises(LookupError, match="no such answer"):
            ask(target)


def test_an_empty_batch_is_no_fault() -> None:
    form = VerifiersGroup()
    function = form.bind(lambda completions, states: [], {})
    assert form.read(function(**form.call(ANSWERS.part(0, 0), function).arguments), 0) == {"score": []}


def test_which_functions_score_groups() -> None:
    assert not Verifiers().of(correct).whole
    assert Verifiers().of(unique).whole
    assert Verifiers().of(rubric([correct, unique])).whole
    assert not Verifiers().of(rubric([correct, length])).whole


def test_a_rubric_of_an_earlier_version_has_other_names() -> None:
    old = SimpleNamespace(reward_funcs=[correct], reward_weights=[0.5])
    assert detect(old).form.name == "verifiers"
    assert ask(old) == {"score": [0.5, None, 0.5], "correct": [1.0, None, 1.0]}


def test_a_column_may_be_called_input_and_the_state_has_the_row() -> None:
    def reads(input: str, state: dict[str, Any]) -> float:
        return float(input == "i" and state["input"] == {"input": "i"} and state["completion"] is not None)

    assert ask(reads, with_columns(CHATS, input=["i"]))["score"] == [1.0]

"""verl's form, for one completion and batched, and the four-tuples of rlla."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.rewards.batch import RewardBatch
from concord.rewards.forms.detect import detect
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.verl import Verl, VerlBatched
from tests.rewards.forms.asking import ANSWERS, CHATS, ask, with_columns


def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> float | None:
    return None if solution_str.isalpha() else float(solution_str == ground_truth)


async def compute_later(data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None) -> Any:
    return compute_score(data_source, solution_str, ground_truth)


def strictly(solution_str: str, ground_truth: str, strict: bool = True, **kwargs: Any) -> dict[str, Any]:
    acc = solution_str == ground_truth
    return {"acc": acc, "score": 1.0 if acc else -1.0, "pred": solution_str, "strict": strict}


def rlla(solution_str: str, ground_truth: str, step: int = 0) -> tuple[float, float, float, float]:
    return 4.0 + step, 1.0, 3.0, float(step)


def compute_score_batched(data_sources: Any, solution_strs: Any, ground_truths: Any, extra_infos: Any) -> list[Any]:
    return [compute_score(*row) for row in zip(data_sources, solution_strs, ground_truths, strict=True)]


@pytest.mark.parametrize("function", [compute_score, compute_later, compute_score_batched])
def test_a_number_for_each_completion(function: Any) -> None:
    assert ask(function) == {"score": [1.0, None, 1.0]}


def test_a_mapping_gives_several_columns_the_score_first() -> None:
    columns = ask(strictly)
    assert list(columns) == ["score", "acc", "pred", "strict"]
    assert columns["score"] == [1.0, -1.0, 1.0]
    assert columns["acc"] == [True, False, True]


def test_options_are_reward_kwargs() -> None:
    assert ask(strictly, strict=False)["strict"] == [False] * 3
    with pytest.raises(ConfigError, match=r"strictly.. takes no option 'strct'; did you mean 'strict'"):
        ask(strictly, strct=False)
    with pytest.raises(ConfigError, match=r"option 'ground_truth' of strictly.. is what verl passes itself"):
        ask(strictly, ground_truth="2")


def facts(data_source: Any, solution_str: Any, ground_truth: Any, extra_info: Any, **kwargs: Any) -> dict[str, Any]:
    return {"score": 0, "facts": (data_source, solution_str, ground_truth, extra_info, kwargs)}


def facts_batched(data_sources: Any, solution_strs: Any, ground_truths: Any, extra_infos: Any) -> list[dict[str, Any]]:
    rows = zip(data_sources, solution_strs, ground_truths, extra_infos, strict=True)
    return [facts(*row) for row in rows]


@pytest.mark.parametrize("function", [facts, facts_batched])
@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"answer": ["7"]}, ("", "2", "7", {}, {})),
        ({"answer": ["7"], "reward_model": [{"ground_truth": "8"}]}, ("", "2", "8", {}, {})),
        ({"answer": ["7"], "reward_model": [{}], "ground_truth": ["9"]}, ("", "2", "9", {}, {})),
        ({"ground_truth": [None], "data_source": ["s"], "extra_info": [{"i": 1}]}, ("s", "2", None, {"i": 1}, {})),
        ({"reward_model": ['{"ground_truth": "8"}'], "extra_info": ['{"i": 1}']}, ("", "2", "8", {"i": 1}, {})),
        ({"ground_truth": [["a", "b"]], "extra_info": [None]}, ("", "2", ["a", "b"], {}, {})),
    ],
)
def test_where_the_arguments_come_from(function: Any, columns: Any, expected: Any) -> None:
    assert ask(function, with_columns(CHATS, **columns))["facts"] == [expected]


@pytest.mark.parametrize("function", [compute_score, compute_score_batched])
def test_without_a_ground_truth_the_columns_to_add_are_named(function: Any) -> None:
    said = "reads 'ground_truths?', and the data have no column 'ground_truth' or 'reward_model' or 'answer'"
    with pytest.raises(MissingColumn, match=said):
        ask(function, with_columns(solution=["2", "2", "5"]))


def test_a_function_that_does_not_need_the_ground_truth_goes_without() -> None:
    def length(solution_str: str, ground_truth: str | None = None) -> int:
        return len(solution_str)

    assert ask(length, with_columns()) == {"score": [1, 3, 1]}
    assert ask(lambda solution_str, **_: len(solution_str), with_columns()) == {"score": [1, 3, 1]}


def test_a_reward_model_without_ground_truth_is_shown() -> None:
    with pytest.raises(BatchError, match=r"'reward_model' has no 'ground_truth': {'style': 'rule'}"):
        ask(compute_score, with_columns(CHATS, reward_model=[{"style": "rule"}]))


def test_what_is_written_into_extra_info_does_not_reach_the_data() -> None:
    def writes(solution_str: str, extra_info: dict[str, Any]) -> int:
        extra_info["turns"] = 1
        return 0

    info: list[dict[str, Any]] = [{}]
    form = Verl()
    call = form.call(RewardBatch(["p"], ["c"], columns={"extra_info": info}), form.bind(writes, {}))
    writes(**call.arguments)
    assert info == [{}]


def test_the_four_numbers_of_rlla_have_the_names_of_its_manager() -> None:
    columns = ask(rlla)
    assert columns == {
        "score": [4.0] * 3,
        "format_score": [1.0] * 3,
        "correctness_score": [3.0] * 3,
        "length_score": [0.0] * 3,
    }


def test_rlla_gets_the_step_of_the_training() -> None:
    context = {"trainer_state": SimpleNamespace(global_step=5)}
    batch = RewardBatch(ANSWERS.prompts, ANSWERS.completions, columns=ANSWERS.columns, context=context)
    assert ask(rlla, batch)["length_score"] == [5.0] * 3
    assert ask(compute_score, batch) == {"score": [1.0, None, 1.0]}


def test_batched_entries_may_be_of_different_kinds() -> None:
    def mixed(solution_strs: list[str], ground_truths: list[str], step: int = 0) -> list[Any]:
        return [{"score": 1, "acc": True}, None, (0.5, 1, -1, 0)]

    columns = ask(mixed)
    assert columns["score"] == [1, None, 0.5]
    assert columns["acc"] == [True, None, None]
    assert columns["length_score"] == [None, None, 0]


@pytest.mark.parametrize("value", [{"acc": 1}, {}, [1.0, 2.0], (1.0, 2.0), [1, 2, 3, 4, 5]])
def test_what_one_completion_cannot_score(value: Any) -> None:
    with pytest.raises(Unreadable, match=r"returned .*'score'"):
        Verl().read(value, 1)


@pytest.mark.parametrize("value", [[1.0, 2.0], 1.0, {"score": [1.0] * 3}, [[1.0, 2.0]] * 3])
def test_what_many_completions_cannot_score(value: Any) -> None:
    with pytest.raises(Unreadable, match="returned"):
        VerlBatched().read(value, 3)


def test_a_function_that_needs_what_verl_does_not_pass() -> None:
    def grade(predicted: str, ground_truth: str) -> float:
        return 0.0

    with pytest.raises(ConfigError, match=r"grade\(\) needs 'predicted', which verl does not pass; .*or a value under"):
        Verl().bind(grade, {})
    assert ask(lambda solution_str, ground_truth, tag: tag, tag="x") == {"score": ["x"] * 3}


def geo3k(predict_str: str, ground_truth: str, use_boxed: bool = True) -> float:
    return float(predict_str == ground_truth)


def math_verify(model_output: str, ground_truth: str, timeout_score: float = 0) -> float:
    return float(model_output == ground_truth)


def prime_code(completion: str, test_cases: str, continuous: bool = False) -> tuple[bool, list[str]]:
    return completion == test_cases, ["metadata"]


def in_parallel(model_outputs: list[str], ground_truths: list[str], timeout: int = 20) -> list[float]:
    return [float(output == truth) for output, truth in zip(model_outputs, ground_truths, strict=True)]


@pytest.mark.parametrize("function", [geo3k, math_verify, prime_code, in_parallel])
def test_the_names_of_verls_own_scorers(function: Any) -> None:
    assert detect(function).form.name == "verl"
    assert ask(function) == {"score": [1.0, 0.0, 1.0]}


def test_of_a_tuple_with_reasons_the_first_entry_counts() -> None:
    assert Verl().read((True, False, "42"), 1) == {"score": [True]}
    with pytest.raises(Unreadable):
        Verl().read((1.0, 0.5), 1)


def test_a_column_of_json_texts_is_read() -> None:
    assert ask(compute_score, with_columns(CHATS, reward_model=['{"ground_truth": "2"}']))["score"] == [1.0]
    with pytest.raises(BatchError, match="has no 'ground_truth': 'rule'"):
        ask(compute_score, with_columns(CHATS, reward_model=["rule"]))


def easyr1(reward_input: dict[str, Any], weight: float = 1.0) -> dict[str, float]:
    right = float(reward_input["response"] == reward_input["ground_truth"])
    return {"overall": weight * right + reward_input["response_length"], "accuracy": right}


def easyr1_batched(reward_inputs: list[dict[str, Any]], weight: float = 1.0) -> list[dict[str, float]]:
    return [easyr1(entry, weight) for entry in reward_inputs]


@pytest.mark.parametrize("function", [easyr1, easyr1_batched])
def test_easyr1_hands_over_mappings(function: Any) -> None:
    assert detect(function).form.name == "easyr1"
    assert ask(function) == {"overall": [2.0, 2.0, 2.0], "accuracy": [1.0, 0.0, 1.0]}
    assert ask(function, weight=5.0)["overall"] == [6.0, 2.0, 6.0]
    with pytest.raises(ConfigError, match="takes no option 'wieght'; did you mean 'weight'"):
        ask(function, wieght=1.0)


def test_easyr1_trains_on_overall() -> None:
    with pytest.raises(Unreadable, match="a mapping without 'overall'"):
        ask(lambda reward_input: {"accuracy": 1.0})

"""The ToolRL reward: the authors' numbers, the definition's examples, and text that means harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concord.rewards import toolrl
from concord.rewards.toolrl import correctness_reward, format_reward, length_reward
from tests.data.toolrl import rows, toolrl_file

GOLDEN = Path(__file__).parents[1] / "golden" / "rlla_rewards.jsonl"

A = '{"name": "A", "parameters": {"x": 1, "y": 2}}'
B = '{"name": "B", "parameters": {}}'


def calls(*lines: str) -> str:
    body = "\n".join(lines)
    return f"<think>hm</think>\n<tool_call>\n{body}\n</tool_call>"


def test_the_authors_numbers() -> None:
    golden = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    assert len(golden) == 400
    for row in golden:
        for name in ("format", "correctness", "length"):
            score = getattr(toolrl, f"{name}_reward")(row["response"], row["answer"])
            assert score == pytest.approx(row[name], abs=1e-9), (name, row["response"], row["answer"])


@pytest.mark.parametrize(
    ("response", "score"),
    [
        (calls(A, B), 3.0),
        (calls(B, A), 3.0),
        (calls(A), 1.2),
        (calls(A.replace("2", "5"), B), 1.8),
        (calls(A.replace("2}", '2, "z": 0}'), B), 2.6),
        (calls(A, B, '{"name": "C", "parameters": {}}'), 2.6),
        (calls(A, A), 1.0),
        (calls(A.replace('"A"', '"C"'), B), -1.4),
        (calls(A, "{"), -3.0),
        ("<think>hm</think>", -3.0),
    ],
)
def test_correctness_of_the_definitions_examples(response: str, score: float) -> None:
    assert correctness_reward(response, calls(A, B)) == pytest.approx(score, abs=1e-9)


def test_correctness_reads_the_first_call_block() -> None:
    assert correctness_reward(calls(A) + "\n" + calls(B), calls(A)) == 3.0
    # Naming the tag while thinking opens the block there: the reward is a reader of text, as the authors' is.
    assert correctness_reward("<think>I need <tool_call></think>\n" + calls(A), calls(A)) == -3.0


def test_correctness_takes_the_best_unused_call_of_the_name() -> None:
    near, exact = (f'{{"name": "A", "parameters": {{"x": 1, "y": {y}}}}}' for y in (3, 2))
    assert correctness_reward(calls(near, exact), calls(exact, near)) == 3.0
    # Both true calls like the one predicted call; the first gets it. S = 1/2 + 3, S_max = 1 + 3 + 3.
    assert correctness_reward(calls(exact), calls(exact, exact)) == pytest.approx(6 * 3.5 / 7 - 3)


def test_correctness_is_zero_where_no_call_is_due() -> None:
    assert correctness_reward(calls(A), "<think>hm</think>\n<response>Hello.</response>") == 0.0


FORMS = {
    "": "<think>a\nb</think>",
    "<tool_call>": "<think>a</think>\n<tool_call>\nanything\n</tool_call>",
    "<response>": "<think></think>\n<response>a\nb</response>",
    "<tool_call><response>": "<think>a</think>\n<tool_call>\nb\n</tool_call>\n<response>c</response>",
}


@pytest.mark.parametrize("answer", FORMS)
def test_each_form_fits_its_own_answer_only(answer: str) -> None:
    assert [format_reward(form, answer) for form in FORMS.values()] == [float(key == answer) for key in FORMS]


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("  <think>a</think>\n<tool_call>\nb\n</tool_call>\n", 1.0),
        ("Well: <think>a</think>\n<tool_call>\nb\n</tool_call>", 0.0),
        ("<think>a</think>\n<tool_call>\nb\n</tool_call> Done.", 0.0),
        ("<think>a</think><tool_call>\nb\n</tool_call>", 0.0),
        ("<think>a</think>\n<tool_call>b</tool_call>", 0.0),
        ("<think>a <think></think>\n<tool_call>\nb\n</tool_call>", 0.0),
        ("<think>a</think>\n<tool_call>\nb\n</tool_call>\n<tool_call>\nb\n</tool_call>", 0.0),
        ("<think>a\n<tool_call>\nb\n</tool_call>", 0.0),
    ],
)
def test_format_is_exact(response: str, score: float) -> None:
    assert format_reward(response, calls(A)) == score


@pytest.mark.parametrize(
    ("words", "score"), [(0, 0.0), (2, 0.0), (3, 0.01), (128, 0.25), (510, 1.0), (512, 1.0), (5000, 1.0)]
)
def test_length_counts_the_words_of_thinking(words: int, score: float) -> None:
    assert length_reward(f"so <think>{'hm ' * words}</think> and so on", "") == score


@pytest.mark.parametrize("response", ["", "no tags", "<think>open", "</think> hm <think>", "closed</think>"])
def test_length_is_zero_without_a_think_pair(response: str) -> None:
    assert length_reward(response, "") == 0.0


HOSTILE = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deep value": f'{{"name": "A", "parameters": {{"x": {"[" * 100_000}{"]" * 100_000}, "y": 2}}}}',
    "huge integer": f'{{"name": "A", "parameters": {{"x": {"9" * 10_000}, "y": 2}}}}',
    "NaN": '{"name": "A", "parameters": {"x": NaN, "y": 2}}',
    "infinity": '{"name": "A", "parameters": {"x": -Infinity, "y": 2}}',
    "a list": '["name", "parameters"]',
    "a number": "1",
    "null": "null",
    "a string": '"name"',
    "no parameters": '{"name": "A"}',
    "parameters not an object": '{"name": "A", "parameters": [1]}',
    "name not text": '{"name": ["A"], "parameters": {}}',
    "empty": "",
    "two on a line": A + B,
    "lone surrogate": '"\ud800"',
    "zero byte": "\0",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_line_that_is_no_call_gives_the_minimum(line: str) -> None:
    assert correctness_reward(calls(A, line, B), calls(A, B)) == -3.0
    assert correctness_reward(calls(A, B), calls(A, line, B)) == -3.0


def test_values_too_deep_to_compare_give_a_number() -> None:
    # Deep enough to be read and, depending on the interpreter, too deep for ==.
    for depth in (100, 300, 500, 900, 2_000):
        line = f'{{"name": "A", "parameters": {{"x": {"[" * depth}{"]" * depth}}}}}'
        assert correctness_reward(calls(line, B), calls(line)) in (-3.0, pytest.approx(6 * 2.5 / 3 - 3))


def test_many_tags_take_no_time() -> None:
    # A lazy pattern alone would try each of these pairs with each other.
    text = "<think></think>\n<tool_call>\n" * 20_000
    assert format_reward(text, calls(A) + "<response>") == 0.0
    assert correctness_reward(text, calls(A)) == -3.0


fragments = st.sampled_from(
    ["<think>", "</think>", "<tool_call>", "</tool_call>", "<response>", "</response>", "\n", A, B, '{"name":', "{}"]
)
texts = st.lists(fragments | st.text(max_size=5), max_size=12).map("".join)


@given(texts, texts)
def test_any_text_scores_within_range(response: str, answer: str) -> None:
    assert format_reward(response, answer) in (0.0, 1.0)
    assert -3.0 <= correctness_reward(response, answer) <= 3.0
    assert 0.0 <= length_reward(response, answer) <= 1.0


def test_every_truth_is_right_by_its_own_measure(tmp_path: Path) -> None:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(toolrl_file(tmp_path)).to_pylist()
    for row in table + rows(8):
        truth = row["reward_model"]["ground_truth"]
        assert format_reward(truth, truth) == 1.0
        assert correctness_reward(truth, truth) == (3.0 if "<tool_call>" in truth else 0.0)


def test_for_trl_on_text_and_on_messages() -> None:
    response, answer = calls(A), calls(A, B)
    conversation = [{"role": "assistant", "content": response}]
    for name in ("format", "correctness", "length"):
        one = getattr(toolrl, f"{name}_reward")(response, answer)
        function = getattr(toolrl, name)
        more = {"prompts": ["p"], "completion_ids": [[1]], "trainer_state": None}
        assert function(completions=[response], answer=[answer], **more) == [one]
        assert function(completions=[conversation], answer=[answer], **more) == [one]
    assert toolrl.correctness(completions=[[{"role": "assistant", "content": None}]], answer=[answer]) == [-3.0]

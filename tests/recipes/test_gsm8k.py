"""GSM8K with three rewards (the real file where it is at hand): read, scored, and two steps with each method."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

pytest.importorskip("math_verify")

from concord.core.errors import ConfigError
from concord.recipes import gsm8k
from concord.rewards.builtin import math_answer, tag_format
from concord.run.config import load_config
from concord.run.train import train
from tests.data.gsm8k import gsm8k_file
from tests.recipes.test_tool_calling import SMALL, talking_model


def test_rows_and_what_full_marks_look_like(tmp_path: Path) -> None:
    rows = gsm8k.rows(str(gsm8k_file(tmp_path)))
    assert [message["role"] for message in rows[0]["prompt"]] == ["system", "user"]
    answers = [row["answer"] for row in rows[:20]]
    results = [answer.rpartition("#### ")[2] for answer in answers]
    said = [f"<think>There are 3 of 4.</think> <answer>\\boxed{{{result}}}</answer>" for result in results]
    assert math_answer(said, answers) == tag_format(said) == [1.0] * len(answers)
    assert 1.0 not in math_answer([text.replace("}", "1}") for text in said], answers)


@pytest.mark.parametrize(
    ("line", "message"), [("nothing", "line 1: is not JSON"), ('{"question": "?"}', "line 1: not {question, answer}")]
)
def test_a_line_in_another_form(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(line)
    with pytest.raises(ConfigError, match=message):
        gsm8k.rows(str(tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["method={name: dapo, metric: odd, max_length: 12, buffer: 4}", "refill_rounds=1"],
        ["method={name: clipo, correct: odd, threshold: 0.5, dim: 8, warmup: 0}"],
    ],
    ids=["grpo", "dapo", "clipo"],
)
def test_two_steps_and_its_evaluation(tmp_path: Path, words: list[str]) -> None:
    file = gsm8k_file(tmp_path)
    rows = gsm8k.rows(str(file))[:16]
    model = talking_model(tmp_path / "model", [text for row in rows for text in (row["answer"], gsm8k.INSTRUCTION)])
    # An untrained model is right by no chance; one more reward gives the update something to do.
    code = "def odd(completions, **_):\n    return [len(c[0]['content']) % 2 for c in completions]\n"
    (tmp_path / "odd.py").write_text(code)
    (tmp_path / "test.jsonl").write_text("".join(file.read_text().splitlines(keepends=True)[-3:]))
    words = [*words, f"model={model}", f"data.path={file}", "data.size=8", f"data.eval.path={tmp_path}/test.jsonl"]
    words += [f"rewards.odd.path={tmp_path / 'odd.py'}:odd", "rewards.correct.workers=1", f"out={tmp_path / 'run'}"]
    sizes = SMALL | {"num_generations": 4, "beta": 0}
    config = load_config("gsm8k", [*words, *(f"engine.{key}={value}" for key, value in sizes.items())])
    done = train(config, console=Console(quiet=True))
    assert done.trained is not None
    assert done.trained.rewards.keys() == {"correct", "format", "length", "odd"}
    assert done.trained.rewards["length"] == 1.0  # twelve tokens are within the budget
    rollouts = pd.concat(pd.read_parquet(path) for path in sorted((done.folder / "rollouts").glob("*.parquet")))
    assert (rollouts["advantage"] != 0).any()
    assert all(gsm8k.INSTRUCTION in prompt for prompt in rollouts["prompt"])

"""NeMo-RL's train_data and val_data."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.dumps.truth import Row, by_step, check, keeps, read, rows, write_lines


def train(n: int, row: Row) -> dict[str, Any]:
    prompt, own = [7, 7, 10 * row.group], row.length
    mask = [0] * len(prompt) + [1] * own + [0] * 3
    return {
        "content": [[row.prompt, row.completion]],
        "rewards": [row.total],
        "input_lengths": [len(prompt) + own],
        "token_ids": [prompt + [row.index] * own + [0] * 3],
        "token_loss_mask": [mask],
        "sample_loss_mask": [float(row.index != 2)],
        "advantages": [[row.advantage] * len(mask)],
        "generation_logprobs": [[0.0] * len(mask)],
        "prev_logprobs": [[0.0] * len(mask)],
        "idx": n,
    }


def test_training_data(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(wanted).items():
        write_lines(tmp_path / f"train_data_step{step}.jsonl", (train(n, row) for n, row in enumerate(here)))
    dump, groups = read(tmp_path)
    assert dump.format == "nemo-rl"
    assert dump.rewards == ("rewards",)
    assert any("no setting keeps the components" in sentence for sentence in dump.missing)
    assert "steps are taken from the files' or folders' names" in dump.inferred
    assert "grouped by the prompt's tokens" in dump.inferred
    check(groups, wanted, ("rewards",), total=True, advantages=True, lengths=True)
    assert all(keeps(group) == [True, True, False, True] for group in groups)


def test_prompts_of_equal_text_and_other_tokens_are_two_groups(tmp_path: Path) -> None:
    records = [train(n, row) for n, row in enumerate(rows((1,)))]
    for record in records:
        record["content"] = [["the same system prompt", "question", "answer"]]
    _, groups = read(write_lines(tmp_path / "train_data_step1.jsonl", records))
    assert [len(group.completions) for group in groups] == [4, 4, 4]
    assert groups[0].completions[0] == "question\nanswer"


def test_validation_data(tmp_path: Path) -> None:
    wanted = rows((5,))
    records = []
    for n, row in enumerate(wanted):
        talk = [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.completion}]
        records.append({"content": [talk], "rewards": [row.total], "idx": n})
    _, groups = read(write_lines(tmp_path / "val_data_step5.jsonl", records))
    check(groups, wanted, ("rewards",), total=True)


def test_numbers_as_text_and_lists_that_are_no_number(tmp_path: Path) -> None:
    records = [train(n, row) for n, row in enumerate(rows((1,)))]
    records[0]["rewards"] = ["0.25"]  # default=str in NeMo-RL's logger
    records[1]["rewards"] = [[1, 2]]
    _, groups = read(write_lines(tmp_path / "train_data_step1.jsonl", records))
    assert groups[0].scores[0, 0] == 0.25
    assert math.isnan(groups[0].scores[1, 0])
    assert groups[0].statuses == [["scored", "invalid", "scored", "scored"]]

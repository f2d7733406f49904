"""ms-swift's completions.jsonl: objects of lists."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.dumps.truth import Row, by_step, check, read, rows, write_lines


def record(here: list[Row], step: str = "step") -> dict[str, Any]:
    return {
        step: [str(row.step) if step == "step" else row.step for row in here],
        "prompt": [row.prompt for row in here],
        "completion": [row.completion for row in here],
        **{name: [row.scores[name] for row in here] for name in here[0].scores},
        "advantages": [row.advantage for row in here],
        "num_turns": [1] * len(here),
        "solution": ["42"] * len(here),
    }


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    wanted = rows()
    dump, groups = read(write_lines(tmp_path / "completions.jsonl", map(record, by_step(wanted).values())))
    check(groups, wanted, advantages=True)
    assert dump.format == "ms-swift"
    assert dump.rewards == ("right", "short")  # not num_turns
    assert any("--reward_weights" in sentence for sentence in dump.missing)


def test_megatron_calls_the_step_gen_step(tmp_path: Path) -> None:
    wanted = rows()
    _, groups = read(write_lines(tmp_path / "a", (record(here, "gen_step") for here in by_step(wanted).values())))
    check(groups, wanted, advantages=True)


def test_ray_writes_the_total_only(tmp_path: Path) -> None:
    wanted = rows()
    records = [{"gen_step": r.step, "prompt": r.prompt, "completion": r.completion, "reward": r.total} for r in wanted]
    dump, groups = read(write_lines(tmp_path / "completions.jsonl", records))
    check(groups, wanted, ("reward",), total=True)
    assert any("without Ray" in sentence for sentence in dump.missing)


def test_a_batch_logged_again_counts_once(tmp_path: Path) -> None:
    first, second = by_step(rows((1, 2))).values()
    again = {**record(first), "step": ["2"] * len(first)}
    last = {**record(second), "step": ["3"] * len(second)}
    dump, groups = read(write_lines(tmp_path / "a", [record(first), again, last]))
    assert [group.step for group in groups] == [1] * 3 + [3] * 3
    assert dump.skipped == {"rollout that the step before has logged already": 12}


def test_nan_literals_are_not_scored(tmp_path: Path) -> None:
    table = record(rows((1,)))
    table["short"] = [float("nan"), *table["short"][1:]]
    (tmp_path / "a").write_text(json.dumps(table) + "\n")  # Python writes NaN, as ms-swift does
    _, groups = read(tmp_path / "a")
    assert np.isnan(groups[0].scores).tolist() == [[False, True]] + [[False, False]] * 3
    assert groups[0].statuses is None


def test_a_column_of_another_length_cannot_be_matched_to_rows(tmp_path: Path) -> None:
    table = record(rows((1,)))
    table["advantages"] = table["advantages"][:-1]
    dump, groups = read(write_lines(tmp_path / "a", [table]))
    assert all(group.advantages is None for group in groups)
    assert dump.skipped == {"column of another length than 'completion', in a table stored as lists": 1}

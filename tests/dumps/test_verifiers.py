"""verifiers' results.jsonl and traces.jsonl, and prime-rl's folders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tests.dumps.truth import Row, by_step, check, read, rows, shuffled, write_lines


def result(row: Row) -> dict[str, Any]:
    return {
        "example_id": row.group,
        "prompt": [{"role": "user", "content": row.prompt}],
        "completion": [{"role": "assistant", "content": row.completion}],
        "answer": "42",
        "reward": row.total,
        "timing": {"total": 1.0},
        "is_completed": True,
        "is_truncated": row.truncated,
        "metrics": row.scores,
        "token_usage": {"input_tokens": 3.0, "output_tokens": float(row.length)},
        **row.scores,  # version 0 writes metrics twice
    }


def test_results_lie_as_rollouts_finished(tmp_path: Path) -> None:
    wanted = rows((0,), groups=6)
    dump, groups = read(write_lines(tmp_path / "results.jsonl", map(result, shuffled(wanted))))
    check(groups, wanted, lengths=True, truncated=True)
    assert dump.format == "verifiers v0"
    assert dump.rewards == ("right", "short")
    assert {group.key for group in groups} == set("012345")
    assert "left out as a total of the others: reward" in dump.inferred
    assert any("the Rubric's" in sentence for sentence in dump.missing)


def test_results_without_metrics_name_the_rubric(tmp_path: Path) -> None:
    dump, groups = read(write_lines(tmp_path / "a", ({**result(row), "metrics": {}} for row in rows((0,)))))
    check(groups, rows((0,)), ("reward",), total=True, lengths=True, truncated=True)
    assert any("weight 0 to only watch it" in sentence for sentence in dump.missing)


def test_a_rollout_that_failed(tmp_path: Path) -> None:
    records = [result(row) for row in rows((0,))]
    records[1] |= {"error": {"error": "ToolError"}, "metrics": {"right": None}, "reward": 0.0}
    _, groups = read(write_lines(tmp_path / "a", records))
    assert groups[0].statuses == [
        ["scored", "failed", "scored", "scored"],
        ["scored", "not scored", "scored", "scored"],
    ]


def trace(row: Row, **changes: Any) -> dict[str, Any]:
    scores = {"right": {"score": row.scores["right"], "weight": 2.0}, "short": {"score": row.scores["short"]}}
    nodes = [
        {"message": {"role": "user", "content": row.prompt}, "token_ids": [1, 2], "mask": [False, False]},
        {"parent": 0, "message": {"role": "assistant", "content": "a dead end"}, "sampled": True, "mask": [True] * 99},
        {
            "parent": 0,
            "message": {"role": "assistant", "content": row.completion},
            "sampled": True,
            "mask": [False] + [True] * row.length,
            "advantages": [row.advantage] * row.length,
        },
    ]
    return {
        "version": 1, "id": "t", "agent": {"name": "agent", "trainable": True}, "nodes": nodes, "rewards": scores,
        "metrics": {"turns": 1.0}, "ok": True, "stop_condition": "max_turns" if row.truncated else "done",
    } | changes  # fmt: skip


def episode(row: Row, **changes: Any) -> dict[str, Any]:
    return {
        "id": "e", "env": {"id": "gsm8k"}, "task": {"type": "Task", "data": {}, "hash": f"h{row.group}"},
        "group": {"id": f"g{row.group}"}, "ok": True, "traces": [trace(row)],
        "run": {"type": "train", "id": "r7", "work": {"type": "train", "step": 0}},
    } | changes  # fmt: skip


def test_traces_hold_names_scores_and_weights(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(wanted).items():
        write_lines(tmp_path / "rollouts" / f"step_{step}" / "train" / "effective" / "traces.jsonl", map(episode, here))
    dump, groups = read(tmp_path)
    check(groups, wanted, advantages=True, lengths=True, truncated=True)
    assert dump.format == "verifiers v1"
    assert {(group.run, group.weights) for group in groups} == {("r7", (2.0, 1.0))}
    assert groups[0].key == "g0/agent"
    assert not dump.missing


def test_what_arrived_is_not_counted_beside_what_was_trained_on(tmp_path: Path) -> None:
    wanted = rows((1,))
    for part, count in (("all", 12), ("effective", 8)):
        write_lines(tmp_path / "step_1" / "train" / part / "traces.jsonl", map(episode, wanted[:count]))
    write_lines(tmp_path / "step_1" / "eval" / "all" / "traces.jsonl", map(episode, wanted))
    dump, groups = read(tmp_path)
    check(groups, wanted[:8], advantages=True, lengths=True, truncated=True)
    assert dump.skipped == {
        "file of evaluation rollouts beside those of training (give it as a path of its own)": 1,
        "file in a folder 'all', whose rollouts stand elsewhere again": 1,
    }
    _, arrived = read(tmp_path / "step_1" / "train" / "all")
    assert len(arrived) == 3


def test_null_rewards_and_failed_traces(tmp_path: Path) -> None:
    records = [episode(row) for row in rows((1,))]
    records[0]["traces"][0] |= {"rewards": {"right": None, "short": None}, "ok": False, "errors": [{"type": "E"}]}
    records[1]["traces"][0]["rewards"]["short"] = None
    records[2]["traces"] = []
    dump, groups = read(write_lines(tmp_path / "traces.jsonl", records))
    assert groups[0].statuses == [["failed", "scored", "scored"], ["failed", "not scored", "scored"]]
    assert math.isnan(groups[0].scores[0, 0])
    assert dump.skipped == {"an episode without any trace": 1}


def test_an_agent_that_is_not_trained_is_left_out(tmp_path: Path) -> None:
    wanted = rows((0,))
    judge = {"agent": {"name": "judge", "trainable": False}, "rewards": {}}
    records = [episode(row, traces=[trace(row, **judge), trace(row)], run=None) for row in wanted]
    dump, groups = read(write_lines(tmp_path / "traces.jsonl", records))
    check(groups, wanted, advantages=True, lengths=True, truncated=True)
    assert dump.skipped == {"trace of an agent that is not trained": 12}


def test_without_a_group_the_task_is_one(tmp_path: Path) -> None:
    wanted = rows((0,))
    records = [{k: v for k, v in episode(row).items() if k not in ("group", "run")} for row in wanted]
    _, groups = read(write_lines(tmp_path / "traces.jsonl", shuffled(records)))
    check(groups, wanted, advantages=True, lengths=True, truncated=True)
    assert groups[0].run == "traces.jsonl"

"""slime's saved samples and miles' trajectories."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from concord.core.errors import DumpError
from concord.dumps import open_dump
from tests.dumps.truth import Row, by_step, check, keeps, read, rows, write_lines


def sample(row: Row, reward: Any) -> dict[str, Any]:
    return {
        "group_index": row.group, "index": row.index, "rollout_id": None, "prompt": row.prompt, "tokens": [1, 2, 3],
        "response": row.completion, "response_length": row.length, "label": "42", "reward": reward, "loss_mask": [1],
        "rollout_log_probs": torch.zeros(3), "status": "truncated" if row.truncated else "completed", "metadata": {},
        "remove_sample": row.index == 1, "spec_info": {"spec_verify_ct": 0},
    }  # fmt: skip


def save(folder: Path, wanted: list[Row], reward: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for step, here in by_step(wanted).items():
        torch.save({"rollout_id": step, "samples": [sample(row, reward(row)) for row in here]}, folder / f"r{step}.pt")
    return folder


def test_rewards_by_name(tmp_path: Path) -> None:
    wanted = rows()
    folder = save(tmp_path, wanted, lambda row: {**row.scores, "score": row.total, "pred": "42"})
    dump, groups = read(folder)
    assert dump.format == "slime"
    assert dump.rewards == ("right", "short")
    assert "left out as a total of the others: score" in dump.inferred
    assert all(keeps(group) == [True, False, True, True] for group in groups)
    check(groups, wanted, lengths=True, truncated=True)
    assert dump.position == dump.size > 0


def test_one_number_is_the_total(tmp_path: Path) -> None:
    wanted = rows()
    dump, groups = read(save(tmp_path, wanted, lambda row: row.total))
    check(groups, wanted, ("reward",), total=True, lengths=True, truncated=True)
    assert any("--custom-rm-path" in sentence and "--reward-key" in sentence for sentence in dump.missing)


def test_an_aborted_sample_failed(tmp_path: Path) -> None:
    samples = [{**sample(row, None), "status": "aborted"} if row.index == 0 else sample(row, 1.0) for row in rows((1,))]
    torch.save({"rollout_id": 1, "samples": samples}, tmp_path / "1.pt")
    _, groups = read(tmp_path)
    assert groups[0].statuses == [["failed", "scored", "scored", "scored"]]


def test_samples_of_one_rollout_are_one_rollout(tmp_path: Path) -> None:
    wanted = rows((1,))
    samples = []
    for n, row in enumerate(wanted):
        samples += [{**sample(row, row.total), "rollout_id": n, "response": "compacted"}]
        samples += [{**sample(row, row.total), "rollout_id": n}]
    torch.save({"rollout_id": 1, "samples": samples}, tmp_path / "1.pt")
    dump, groups = read(tmp_path)
    check(groups, wanted, ("reward",), total=True, lengths=True, truncated=True)
    assert dump.skipped == {"earlier output of a rollout, of which the last one counts": 12}


def test_evaluation_is_left_beside_training(tmp_path: Path) -> None:
    wanted = rows((1,))
    save(tmp_path, wanted, lambda row: row.total)
    (tmp_path / "r1.pt").rename(tmp_path / "eval_1.pt")
    _, alone = read(tmp_path)
    assert len(alone) == 3
    save(tmp_path, rows((2,)), lambda row: row.total)
    dump, groups = read(tmp_path)
    assert {group.step for group in groups} == {2}
    assert dump.skipped == {"file of evaluation rollouts beside those of training (give it as a path of its own)": 1}


def test_what_needs_code_is_refused(tmp_path: Path) -> None:
    samples = [{**sample(row, row.total), "rollout_routed_experts": np.zeros(2)} for row in rows((1,))]
    torch.save({"rollout_id": 1, "samples": samples}, tmp_path / "1.pt")
    with pytest.raises(DumpError, match="weights_only=True refuses it"):
        open_dump(tmp_path)


def trajectory(row: Row) -> dict[str, Any]:
    prompt = [{"role": "system", "content": "be brief"}, {"role": "user", "content": row.prompt}]
    answer = {"role": "assistant", "content": row.completion}
    return {
        "sample_index": row.index, "group_index": row.group, "reward": row.total,
        "status": "truncated" if row.truncated else "completed", "prompt": row.prompt, "messages": [*prompt, answer],
    }  # fmt: skip


def test_miles_trajectories(tmp_path: Path) -> None:
    wanted = rows()
    for step, here in by_step(wanted).items():
        write_lines(tmp_path / f"{step}.jsonl", map(trajectory, here))
    dump, groups = read(tmp_path)
    assert dump.format == "miles"
    check(groups, wanted, ("reward",), total=True, truncated=True)
    assert any("rollout_data/*.pt" in sentence for sentence in dump.missing)


def test_miles_rewards_that_were_dicts_are_elsewhere(tmp_path: Path) -> None:
    write_lines(tmp_path / "1.jsonl", ({**trajectory(row), "reward": None} for row in rows((1,))))
    with pytest.raises(DumpError, match=r"no value looks like a reward.*rollout_data/\*\.pt"):
        open_dump(tmp_path)

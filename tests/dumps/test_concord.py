"""Our own dump, read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import DumpError
from concord.dumps import open_dump, write
from tests.dumps.truth import keeps, read


def dump(
    folder: Path, step: int, run: str = "demo", offset: float = 0.0, learner: dict[str, torch.Tensor] | None = None
) -> tuple[Rollouts, torch.Tensor]:
    scores = torch.tensor([[1.0, 0.5], [0.0, 1.0], [1.0, 0.0], [torch.nan, 0.25], [1.0, 1.0], [0.0, 0.0]])
    ids = [0, 1, 0, 0, 1, 1]  # interleaved
    batch = Rollouts(scores + offset, Groups.of(ids), ("right", "short"), {"lengths": torch.arange(6)})
    method = create("gd2po", weights={"right": 2.0})
    outcome = method.signal(batch)
    write(
        folder,
        run=run,
        step=step,
        prompts=[f"prompt {i}" for i in ids],
        completions=[f"answer {n}" for n in range(6)],
        batch=batch,
        outcome=outcome,
        unselected=method.signal.unselective()(batch).advantages,
        weights={"right": 2.0},
        config_hash="5eed",
        learner=learner,
    )
    return batch, outcome.advantages


def test_what_was_written_is_read(tmp_path: Path) -> None:
    batches = {step: dump(tmp_path, step, offset=step) for step in (9, 10, 100)}
    found, groups = read(tmp_path)
    assert found.format == "concord"
    assert found.rewards == ("right", "short")
    assert [(group.run, group.step, group.key) for group in groups] == [
        ("demo", step, key) for step in (9, 10, 100) for key in "01"
    ]
    for group in groups:
        batch, advantages = batches[group.step]
        own = [0, 2, 3] if group.key == "0" else [1, 4, 5]
        np.testing.assert_array_equal(group.scores, batch.rewards[own].double().numpy())
        assert group.completions == [f"answer {n}" for n in own]
        assert group.prompt == f"prompt {group.key}"
        assert group.weights == (2.0, 1.0)
        np.testing.assert_array_equal(group.advantages, advantages[own].double().numpy())
        assert group.lengths is not None
        assert group.lengths.tolist() == own
        assert group.truncated is None
    assert groups[0].statuses == [["scored", "scored", "abstained"], ["scored"] * 3]
    assert keeps(groups[0]) is not None
    assert not found.skipped
    assert "configuration hash 5eed" in found.inferred
    assert not found.missing


def test_what_a_learner_measured_is_read(tmp_path: Path) -> None:
    dump(tmp_path, 1)
    dump(tmp_path, 2, learner={"loss": torch.tensor(0.5), "a/b": torch.tensor(torch.nan)})
    found, groups = read(tmp_path)
    assert found.rewards == ("right", "short")
    assert [group.learner for group in groups[:2]] == [{}, {}]
    for group in groups[2:]:
        assert group.learner["loss"] == 0.5
        assert np.isnan(group.learner["a/b"])


def test_a_dump_may_be_gone_through_twice(tmp_path: Path) -> None:
    dump(tmp_path, 1)
    found, groups = read(tmp_path)
    told, again = list(found.inferred), list(found)
    assert [group.key for group in again] == [group.key for group in groups]
    assert found.inferred == told


def test_two_runs_are_kept_apart(tmp_path: Path) -> None:
    dump(tmp_path / "a" / "rollouts", 1)
    dump(tmp_path / "b" / "rollouts", 1, offset=1.0)
    found, groups = read([tmp_path / "a" / "rollouts", tmp_path / "b" / "rollouts"])
    assert [group.run for group in groups] == ["a/rollouts/demo"] * 2 + ["b/rollouts/demo"] * 2
    assert found.inferred[0].startswith("a/rollouts: ")


def test_runs_of_other_formats_and_rewards_may_be_compared(tmp_path: Path) -> None:
    dump(tmp_path / "ours", 1)
    records = [{"input": "p", "output": "o", "score": 1.0, "step": 0, "short": 0.5, "neat": float(n)} for n in range(4)]
    (tmp_path / "theirs").write_text("".join(json.dumps(record) + "\n" for record in records))
    found, groups = read([tmp_path / "ours", tmp_path / "theirs"])
    assert found.format == "concord + verl"
    assert found.rewards == ("right", "short", "neat")
    assert np.isnan(groups[0].scores[:, 2]).all()
    assert groups[-1].scores[3].tolist()[1:] == [0.5, 3.0]


def test_a_path_in_another_is_refused(tmp_path: Path) -> None:
    dump(tmp_path / "run", 1)
    with pytest.raises(DumpError, match="would be counted twice"):
        open_dump([tmp_path, tmp_path / "run"])
    with pytest.raises(DumpError, match="no path was given"):
        open_dump([])


def test_a_later_schema_is_refused(tmp_path: Path) -> None:
    dump(tmp_path, 1)
    path = tmp_path / "rollouts_00000001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({"concord": json.dumps({"schema": 99})}), path)
    with pytest.raises(DumpError, match=r"written by a later Concord \(schema 99, this one reads 1\)"):
        open_dump(tmp_path)

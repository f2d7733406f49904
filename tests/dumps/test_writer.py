"""Our own dump: readable with pandas alone, and whole or absent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from concord import Groups, Outcome, Rollouts, create
from concord.core.errors import DumpError
from concord.dumps import write

REWARDS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [torch.nan, 0.0]])


def dump(folder: Path, texts: int = 4, **more: Any) -> tuple[Path, Rollouts, Outcome]:
    method = create("gd2po", weights={"right": 2.0})
    columns = {"lengths": torch.tensor([3, 4, 5, 6]), "truncated": torch.tensor([False, True, False, False])}
    columns["loss"] = torch.tensor([0.5, torch.nan, 2.0, torch.nan])
    batch = Rollouts(REWARDS, Groups.uniform(1, 4), ("right", "short"), columns)
    outcome = method.signal(batch)
    path = write(
        folder,
        run="demo",
        step=7,
        prompts=["p"] * texts,
        completions=["<script>", "é\x00", "", "long " * 1000][:texts],
        batch=batch,
        outcome=outcome,
        unselected=method.signal.unselective()(batch).advantages,
        weights={"right": 2.0},
        config_hash="abc",
        **more,
    )
    return path, batch, outcome


def test_pandas_alone_reads_everything(tmp_path: Path) -> None:
    path, _, outcome = dump(tmp_path / "new" / "folder")
    frame = pd.read_parquet(path)
    assert path.name == "rollouts_00000007.parquet"
    assert list(frame.columns) == [
        "run", "step", "group", "rollout", "prompt", "completion", "reward/right", "weight/right", "status/right",
        "reward/short", "weight/short", "status/short", "advantage_before", "advantage", "keep", "query_weight",
        "length", "truncated", "config_hash",
    ]  # fmt: skip
    assert frame["completion"][1] == "é\x00"
    assert frame["reward/right"].isna().tolist() == [False, False, False, True]
    assert frame["status/right"].tolist() == ["scored"] * 3 + ["abstained"]
    assert frame["weight/right"].tolist() == [2.0] * 4
    assert frame["keep"].tolist() == outcome.keep.tolist() == [False, False, True, True]
    assert frame["query_weight"].tolist() == [0.5] * 4
    assert frame["advantage"][1] == 0
    assert frame["advantage_before"][1] != 0
    torch.testing.assert_close(torch.tensor(frame["advantage"]).float(), outcome.advantages)
    assert frame["length"].tolist() == [3, 4, 5, 6]
    assert frame["truncated"].tolist() == [False, True, False, False]


def test_what_a_learner_measured_and_wrote(tmp_path: Path) -> None:
    measured = {"loss": torch.tensor(1.25), "similarity": torch.tensor(torch.nan)}
    frame = pd.read_parquet(dump(tmp_path, learner=measured, columns=["loss"])[0])
    assert list(frame.columns)[-4:] == ["config_hash", "learner/loss", "learner/similarity", "column/loss"]
    assert frame["learner/loss"].tolist() == [1.25] * 4
    assert frame["learner/similarity"].isna().all()
    assert frame["column/loss"].dropna().to_dict() == {0: 0.5, 2: 2.0}
    nulls = pq.read_table(tmp_path / "rollouts_00000007.parquet").column("column/loss").null_count
    assert nulls == 2


def test_the_schema_is_versioned(tmp_path: Path) -> None:
    path, _, _ = dump(tmp_path)
    assert json.loads(pq.read_schema(path).metadata[b"concord"]) == {"schema": 1, "rewards": ["right", "short"]}


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    dump(tmp_path)
    dump(tmp_path)  # a step written again, after a resume, replaces itself
    assert [path.name for path in tmp_path.iterdir()] == ["rollouts_00000007.parquet"]


def test_texts_that_do_not_match_the_batch(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="4 rollouts, but 3 prompts and 3 completions"):
        dump(tmp_path, texts=3)


def test_what_rewards_gave_beside_scores(tmp_path: Path) -> None:
    extra = {
        "chars": [3, None, 1.5, True],
        "tone": ["kind", None, "rude\x00", "\ud800"],
        "parts": [{"a": [1]}, None, 2, float("nan")],
        "huge": [10**400, 1, 2, 3],
    }
    frame = pd.read_parquet(dump(tmp_path, extra=extra)[0])
    assert list(frame.columns)[-5:] == ["config_hash", *(f"extra/{name}" for name in extra)]
    assert frame["extra/chars"].dropna().to_dict() == {0: 3.0, 2: 1.5, 3: 1.0}
    assert frame["extra/tone"].dropna().to_dict() == {0: "kind", 2: "rude\x00", 3: "?"}
    assert frame["extra/parts"].dropna().to_dict() == {0: '{"a": [1]}', 2: "2", 3: "NaN"}
    assert frame["extra/huge"].tolist()[1:] == ["1", "2", "3"]

"""Every method of the catalogue for two steps in TRL, dump and all; those that cannot be say why before training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from concord import create, info, names
from concord.core.errors import ConfigError
from concord.engines.trl.columns import Function
from tests.engines import tiny

METHODS = names("*", "advantage", "loss")
PARAMETERS: dict[str, dict[str, Any]] = {"clipo": {"correct": "early", "threshold": 0.4, "dim": 8}}
TURNS_ARE_ROWS = {"eapo", "igpo", "rlvmr"}


def answers(completions: list[str], **_: Any) -> list[str]:
    return [text[-1:] for text in completions]


def alike(completions: list[str], **_: Any) -> list[float]:
    return [len(text) / 16 for text in completions]


def paid(completion_ids: list[list[int]], **_: Any) -> list[list[float]]:
    return [[0.0] * (len(ids) - 1) + [1.0] for ids in completion_ids]


def verdict(completions: list[str], **_: Any) -> list[float]:
    """A judge's: 1 or -1 against a reference."""
    return [1.0 if len(set(text.split()) & set("abcdefgh")) > 2 else -1.0 for text in completions]


REWARDS = {"brpo": [verdict]}
COLUMNS: dict[str, Function] = {
    "answers": answers, "similarity": alike, "demo_reward": alike, "turn_rewards": paid,
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TURNS_ARE_ROWS])
def test_it_trains_and_dumps(tmp_path: Path, name: str) -> None:
    """Two steps on one batch of rollouts, so that the second is off policy."""
    method = create(name, **PARAMETERS.get(name, {}))
    changes: dict[str, Any] = {"method": name, "method_args": PARAMETERS.get(name), "num_iterations": 2}
    if method.objective.needs_reference:
        changes |= {"beta": 0.1, "model": tiny.saved_model(tmp_path / "base")}
    changes |= {"rewards": REWARDS.get(name, tiny.REWARDS), "options": {"columns": COLUMNS}}
    trainer = tiny.trainer(tmp_path / "run", dump=str(tmp_path / "dump"), **changes)
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    trainer.train()
    after = trainer.model.state_dict()
    assert all(value.isfinite().all() for value in after.values())
    assert any((after[key] != value).any() for key, value in before.items())
    frame = pd.read_parquet(next((tmp_path / "dump").iterdir()))
    assert frame["advantage"].notna().all()
    assert frame["advantage"].tolist() == pytest.approx(list(trainer._logs["advantages"]))
    given = {column for column in method.needs & COLUMNS.keys() if column != "turn_rewards"}
    assert given <= {column.removeprefix("column/") for column in frame.columns}


@pytest.mark.parametrize("name", sorted(TURNS_ARE_ROWS))
def test_what_is_left_says_what_it_lacks(tmp_path: Path, name: str) -> None:
    missing = sorted(create(name).needs & {"answer_logp", "tag", "trajectory", "turn"})
    with pytest.raises(ConfigError, match=rf"method '{name}' needs columns \['{missing[0]}'"):
        tiny.trainer(tmp_path, method=name)
    assert info(name).kind == "advantage"

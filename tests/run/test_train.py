"""A run from its YAML file to what it leaves behind, on a tiny model."""

from __future__ import annotations

import io
import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM

from concord.core.errors import ConfigError, RewardError, RunFolderError
from concord.run.config import load_config
from concord.run.train import config_hash, train

QUIET = Console(quiet=True)


def parameters(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).named_parameters())


def test_what_a_run_leaves_behind(run_file: Path, tiny_model: Path) -> None:
    config = load_config(run_file)
    done = train(config, console=QUIET)
    folder = run_file.parent / "runs" / "a"
    assert done.folder == folder

    history = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = [entry for entry in history if "reward" in entry]
    assert [entry["step"] for entry in steps] == [1, 2, 3]
    for entry in steps:
        shares = [entry[f"concord/{name}"] for name in ("conflict/mixed", "conflict/cancelled", "kept")]
        assert all(0 <= share <= 1 for share in shares)
        assert {"rewards/early/mean", "rewards/brief/mean"} <= entry.keys()

    frames = [pd.read_parquet(path) for path in sorted((folder / "rollouts").glob("*.parquet"))]
    assert [set(frame["step"]) for frame in frames] == [{0}, {1}, {2}]
    rollouts = pd.concat(frames)
    assert len(rollouts) == 3 * 16
    assert set(rollouts["run"]) == {"a"}
    assert set(rollouts["weight/brief"]) == {0.5}
    assert set(rollouts["config_hash"]) == {config_hash(config)}
    logged = [entry["rewards/early/mean"] for entry in steps]
    assert rollouts.groupby("step")["reward/early"].mean().tolist() == pytest.approx(logged, abs=1e-6)

    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert load_config(folder / "config.yaml") == config
    trained, base = parameters(folder / "model"), parameters(tiny_model)
    assert any(not torch.equal(trained[name], base[name]) for name in base)

    assert done.base is not None
    assert done.trained is not None
    kept = json.loads((folder / "evaluation.json").read_text())
    assert kept["base"]["rewards"] == done.base.rewards
    assert done.base.rows == 8
    assert all(math.isfinite(mean) for mean in done.trained.rewards.values())


def test_a_folder_that_holds_a_run_is_not_trained_into(run_file: Path) -> None:
    train(load_config(run_file), console=QUIET)
    before = (run_file.parent / "runs/a/metrics.jsonl").read_text()
    with pytest.raises(RunFolderError, match="holds a run already; set another out, or resume"):
        train(load_config(run_file), console=QUIET)
    with pytest.raises(RunFolderError, match=r"differs at .*seed"):
        train(load_config(run_file, ["seed=5"]), console=QUIET, resume=True)
    assert (run_file.parent / "runs/a/metrics.jsonl").read_text() == before


def test_resuming_ends_where_the_whole_run_ends(run_file: Path) -> None:
    """The run is cut back to what a kill after step 2 leaves: its folder and the checkpoint."""
    whole = train(load_config(run_file), console=QUIET)
    want = parameters(whole.folder / "model")
    for leftover in ("model", "checkpoint-3"):
        shutil.rmtree(whole.folder / leftover)
    resumed = train(load_config(run_file), console=QUIET, resume=True)
    got = parameters(resumed.folder / "model")
    assert all(torch.equal(got[name], want[name]) for name in want)
    assert resumed.base == whole.base
    assert resumed.trained == whole.trained


def test_a_method_whose_column_is_a_function_of_the_users(run_file: Path) -> None:
    column = f"columns.answers={run_file.parent / 'my_rewards.py'}:last"
    done = train(load_config(run_file, ["method=copo", column]), console=QUIET)
    history = [json.loads(line) for line in (done.folder / "metrics.jsonl").read_text().splitlines()]
    assert all(entry["concord/blend_by_consistency/entropy"] > 0 for entry in history if "reward" in entry)
    with pytest.raises(
        ConfigError, match=r"column 'answers': .*my_rewards.py has no function 'lst'; did you mean 'last'"
    ):
        train(load_config(run_file, ["method=copo", column[:-4] + "lst", "out=b"]), console=QUIET)


def test_lora(run_file: Path) -> None:
    config = load_config(run_file, ["peft={r: 2, target_modules: [q_proj, v_proj]}", f"out={run_file.parent / 'lora'}"])
    done = train(config, console=QUIET)
    assert (done.folder / "model" / "adapter_model.safetensors").exists()


def test_a_reward_of_the_wrong_length_is_named(run_file: Path) -> None:
    config = load_config(run_file, [f"rewards.odd.path={run_file.parent / 'my_rewards.py'}:odd", "data.eval=null"])
    with pytest.raises(
        RewardError, match="reward 'odd': 16 of 16 scores invalid; the first: returned 1 score for 16 completions"
    ):
        train(config, console=QUIET)


def test_a_reward_that_always_abstains_shows_as_unscored(run_file: Path) -> None:
    config = load_config(run_file, [f"rewards.silent.path={run_file.parent / 'my_rewards.py'}:silent"])
    console = Console(record=True, width=120, file=io.StringIO())
    done = train(config, console=console)
    assert done.trained is not None
    assert done.trained.unscored["silent"] == 8
    assert math.isnan(done.trained.rewards["silent"])
    table = [line.split() for line in console.export_text().splitlines()]
    assert ["steps", "early", "brief", "silent", "conflict", "cancelled", "kept"] in table
    assert any(line[:1] == ["3-3"] and line[3] == "-" for line in table)


def test_training_that_breaks_off_gives_the_terminal_back(run_file: Path) -> None:
    config = load_config(run_file, [f"rewards.odd.path={run_file.parent / 'my_rewards.py'}:odd", "data.eval=null"])
    console = Console(force_terminal=True, file=io.StringIO())
    with pytest.raises(RewardError):
        train(config, console=console)
    assert console._live_stack == []

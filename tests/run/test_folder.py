"""A run's folder: one run each."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from pathlib import Path

import pytest
import torch

import concord
from concord.core.errors import RunFolderError
from concord.rewards import NamedReward, RewardSet, load
from concord.run.config import RunConfig, load_config
from concord.run.folder import open_run_folder


def brevity(completions: list[str], **_: object) -> list[float]:
    return [-float(len(text)) for text in completions]


REWARDS = RewardSet([NamedReward("length", brevity)])


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    (tmp_path / "run.yaml").write_text(
        "model: some/model\nmethod: {name: gd2po, tau: 0.5}\ndata: {path: rows.jsonl, eval: {path: test.jsonl}}\n"
        "rewards:\n  length: {path: mine.py:length, weight: -0.5}\n"
        "engine: {learning_rate: 1e-6, save_strategy: no}\npeft: {r: 4}\nout: runs/first\nseed: 5\n"
    )
    return load_config(tmp_path / "run.yaml")


def test_a_new_run_can_be_repeated_from_its_folder(config: RunConfig) -> None:
    folder = open_run_folder(config.out, config, REWARDS)
    assert load_config(folder / "config.yaml") == config
    facts = json.loads((folder / "run.json").read_text())
    assert facts["seed"] == 5
    assert facts["versions"]["concord"] == concord.__version__
    assert facts["versions"]["torch"] == torch.__version__
    assert {"trl", "transformers"} <= facts["versions"].keys()
    sha256 = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert facts["rewards"] == {"length": {"form": "trl (parameter completions)", "file": __file__, "sha256": sha256}}
    assert sorted(os.listdir(folder)) == ["config.yaml", "run.json"]  # nothing half-written


def test_an_empty_folder_is_free(config: RunConfig) -> None:
    config.out.mkdir(parents=True)
    open_run_folder(config.out, config, REWARDS)


def test_a_folder_that_holds_a_run_is_refused(config: RunConfig) -> None:
    open_run_folder(config.out, config, REWARDS)
    (config.out / "rollouts").mkdir()
    (config.out / "rollouts" / "rollouts_00000000.parquet").write_bytes(b"")
    before = (config.out / "config.yaml").read_text()
    other = config.model_copy(update={"seed": 6})
    for attempt in (config, other):
        with pytest.raises(RunFolderError, match="holds a run already; set another out, or resume"):
            open_run_folder(config.out, attempt, REWARDS)
    assert (config.out / "config.yaml").read_text() == before


def test_a_folder_in_which_nothing_was_trained_is_made_anew(config: RunConfig) -> None:
    """Also for another configuration: a start that failed does not block its corrected rerun."""
    open_run_folder(config.out, config, REWARDS)
    (config.out / "evaluation.json").write_text("{}")
    other = config.model_copy(update={"seed": 6})
    open_run_folder(config.out, other, REWARDS)
    assert load_config(config.out / "config.yaml") == other
    assert not (config.out / "evaluation.json").exists()  # of the other configuration


def test_what_could_hold_a_secret_is_for_its_owner(config: RunConfig) -> None:
    folder = open_run_folder(config.out, config, REWARDS)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_folder_that_holds_something_else_is_refused(config: RunConfig, tmp_path: Path) -> None:
    config.out.mkdir(parents=True)
    (config.out / "thesis.tex").write_text("")
    with pytest.raises(RunFolderError, match="is not empty and holds no run; set another out"):
        open_run_folder(config.out, config, REWARDS)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file is a file; set another out"):
        open_run_folder(tmp_path / "file", config, REWARDS)


def test_resuming_the_same_run(config: RunConfig, tmp_path: Path) -> None:
    open_run_folder(config.out, config, REWARDS)
    before = (config.out / "config.yaml").stat().st_mtime_ns
    assert open_run_folder(config.out, config, REWARDS, resume=True) == config.out
    assert (config.out / "config.yaml").stat().st_mtime_ns == before
    moved = tmp_path / "moved"
    config.out.rename(moved)
    open_run_folder(moved, config.model_copy(update={"out": moved}), REWARDS, resume=True)


def test_resuming_another_run_says_where_they_differ(config: RunConfig, tmp_path: Path) -> None:
    open_run_folder(config.out, config, REWARDS)
    other = load_config(tmp_path / "run.yaml", ["method.tau=0.8", "engine.max_steps=3", "rewards.short.path=m:f"])
    with pytest.raises(RunFolderError) as caught:
        open_run_folder(config.out, other, REWARDS, resume=True)
    message = str(caught.value)
    assert "holds another run" in message
    assert "method.tau (0.5 there, 0.8 here)" in message
    assert "engine.max_steps (None there, 3 here)" in message
    assert "rewards.short (None there" in message
    assert "engine.learning_rate" not in message


def test_resuming_where_there_is_no_run(config: RunConfig) -> None:
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        open_run_folder(config.out, config, REWARDS, resume=True)
    assert not config.out.exists()


def test_resuming_what_cannot_be_read(config: RunConfig) -> None:
    open_run_folder(config.out, config, REWARDS)
    (config.out / "config.yaml").write_text("model: [")
    with pytest.raises(RunFolderError, match=r"holds a run that this version cannot read: .*config\.yaml"):
        open_run_folder(config.out, config, REWARDS, resume=True)


def test_a_write_that_fails_leaves_no_run(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(descriptor: int) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="no space left"):
        open_run_folder(config.out, config, REWARDS)
    assert list(config.out.iterdir()) == []


def test_resuming_with_other_reward_code_warns(
    config: RunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "rewards.py"
    file.write_text("def length(completions, **_): return [0.0] * len(completions)")
    rewards = RewardSet([load("length", f"{file}:length")])
    open_run_folder(config.out, config, rewards)
    with caplog.at_level(logging.WARNING):
        open_run_folder(config.out, config, rewards, resume=True)
        assert not caplog.records
        file.write_text("def length(completions, **_): return [1.0] * len(completions)")
        open_run_folder(config.out, config, rewards, resume=True)
    assert "reward 'length': its file has changed since the run began" in caplog.text

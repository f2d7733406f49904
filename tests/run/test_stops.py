"""Runs that are stopped, by a kill or by their disk, and taken up."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from concord.core.errors import ConfigError, RewardError, RunFolderError
from concord.core.lock import LOCK, Holder, locked
from concord.engines.trl import ConcordTrainer
from concord.run.config import RunConfig, load_config
from concord.run.state import State, standing
from concord.run.train import train

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)


def test_killed_at_a_spread_of_file_events_and_on_failing_disks() -> None:
    """The campaign's own check: after every stop, the end is that of the uninterrupted run, to the bit."""
    words = [sys.executable, "-m", "scripts.torture.kills", "--of", "train", "--sample", "3"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["train"]
    assert found["losses"] == []
    assert found["kills"] == 4  # one of them at a random moment
    assert found["kills of resumed runs"] == 1
    assert found["disks full"] == 1
    assert found["events"] > 100


@pytest.fixture
def config(run_file: Path) -> RunConfig:
    return load_config(run_file, ["engine.max_steps=2", "engine.save_steps=1", "data.eval.split=train[:4]"])


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_finished_run_is_left_alone_and_says_so(config: RunConfig, capsys: pytest.CaptureFixture[str]) -> None:
    done = train(config, console=QUIET)
    before = files(config.out)
    again = train(config, console=Console(soft_wrap=True), resume=True)
    assert "is finished: nothing to do" in capsys.readouterr().out
    assert again == done
    assert files(config.out) == before

    # Of a damaged model of a finished run: its last checkpoint is at the end, and makes it again.
    weights = config.out / "model" / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    console = Console(record=True, file=io.StringIO(), width=200)
    repaired = train(config, console=console, resume=True)
    assert re.search(r"model is damaged: model.safetensors has \d+ bytes, not \d+; set aside", console.export_text())
    assert weights.read_bytes() == whole
    assert repaired == done
    assert len(list((config.out / "rollouts").iterdir())) == 2


def test_a_run_stopped_in_its_evaluation_only_evaluates(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    done = train(config, console=QUIET)
    kept = json.loads((config.out / "evaluation.json").read_text())
    (config.out / "evaluation.json").write_text(json.dumps({"base": kept["base"]}))
    shutil.rmtree(config.out / "checkpoint-1")
    shutil.rmtree(config.out / "checkpoint-2")
    before = files(config.out / "model")
    monkeypatch.setattr(ConcordTrainer, "train", lambda *_, **__: pytest.fail("there is nothing to train"))
    assert train(config, console=QUIET, resume=True) == done
    assert json.loads((config.out / "evaluation.json").read_text()) == kept
    assert files(config.out / "model") == before


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("data.eval.path=no.jsonl", ConfigError),
        ("engine.num_generations=3", Exception),
        ("rewards.early.path=my_rewards.py:nothing", ConfigError),
        ("columns={answers: my_rewards.py:nothing}", ConfigError),
        ("model=./my_rewards.py", Exception),
    ],
)
def test_inputs_are_checked_before_the_first_byte(
    run_file: Path, override: str, fault: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run_file.parent)
    with pytest.raises(fault):
        train(load_config(run_file, [override]), console=QUIET)
    folder = run_file.parent / "runs" / "a"
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_start_that_failed_does_not_block_its_corrected_rerun(run_file: Path) -> None:
    """A reward that raises is met when it is first asked: the configuration is there by then, and nothing else."""
    broken = load_config(
        run_file, [f"rewards.early.path={run_file.parent / 'my_rewards.py'}:odd", "engine.max_steps=1"]
    )
    with pytest.raises(RewardError, match="reward 'early'"):
        train(broken, console=QUIET)
    assert standing(broken.out, evaluated=True).state is State.OPENED
    assert train(load_config(run_file, ["engine.max_steps=1"]), console=QUIET).trained is not None


def test_a_second_writer_is_refused_before_anything_is_loaded(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.out.mkdir(parents=True)
    other = Holder.this_process().__dict__ | {"pid": os.getppid(), "started": ""}
    monkeypatch.setattr("concord.core.lock._started", lambda pid: "" if pid == os.getppid() else "mine")
    (config.out / LOCK).write_text(json.dumps(other))
    for resume in (False, True):
        with pytest.raises(RunFolderError, match=rf"is in use by process {os.getppid()} on this host"):
            train(config, console=QUIET, resume=resume)
    assert [path.name for path in config.out.iterdir()] == [LOCK]


def test_a_writer_that_came_first_while_this_one_was_loading_wins(
    config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any) -> Any:
        trainer = build(*args)
        config.out.mkdir(parents=True, exist_ok=True)
        held.__enter__()
        return trainer

    from concord.run.train import build

    held = locked(config.out)
    monkeypatch.setattr("concord.run.train.build", slow)
    try:
        with pytest.raises(RunFolderError, match="is in use by process"):
            train(config, console=QUIET)
        assert [path.name for path in config.out.iterdir()] == [LOCK]
    finally:
        held.__exit__(None, None, None)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB, if this user may have one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if not mounted or mounted.returncode:
        pytest.skip("no right to mount a disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_disk_that_is_full_and_then_has_room(run_file: Path, small_disk: Path) -> None:
    """Filled up behind the first checkpoint; the run ends as on a disk with room."""
    words = ["engine.max_steps=2", "engine.save_steps=1", "data.eval=null"]
    whole = load_config(run_file, words)
    train(whole, console=QUIET)
    config = load_config(run_file, [*words, f"out={small_disk / 'run'}"])

    def fill(trainer: Any, *_: Any, **__: Any) -> None:
        if trainer.state.global_step == 2:
            with (small_disk / "filler").open("wb") as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"0" * 4096)
                    file.flush()

    with pytest.MonkeyPatch.context() as patched:
        save = ConcordTrainer._save_checkpoint

        def filled(trainer: Any, *args: Any) -> None:
            fill(trainer)
            save(trainer, *args)

        patched.setattr(ConcordTrainer, "_save_checkpoint", filled)
        with pytest.raises(RunFolderError) as caught:
            train(config, console=QUIET)
    said = str(caught.value)
    assert "\n" not in said
    assert re.search(r"run: (No space left on device|torch could not write a file)", said)
    assert said.endswith("Put that right first. It stands at step 1 of 2; --resume goes on from there")
    assert not list(config.out.glob(".*"))  # nothing half-written takes room
    with pytest.raises(RunFolderError, match="No space left on device"):
        train(config, console=QUIET, resume=True)

    (small_disk / "filler").unlink()
    train(config, console=QUIET, resume=True)
    model = "model/model.safetensors"
    assert (config.out / model).read_bytes() == (whole.out / model).read_bytes()


def test_a_read_only_folder(run_file: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    config = load_config(run_file, [f"out={small_disk / 'run'}"])
    with pytest.raises(RunFolderError, match="disk cannot be written to by this user; put that right, or set another"):
        train(config, console=QUIET)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    def late(*args: Any) -> Any:
        subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
        return build(*args)

    from concord.run.train import build

    monkeypatch.setattr("concord.run.train.build", late)
    with pytest.raises(RunFolderError, match=r"Read-only file system .*\. Put that right and run the command again"):
        train(config, console=QUIET)

"""A run that was cut off and resumed ends with the same bits as one that was not."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from concord.core.durable import MANIFEST, seal
from concord.core.errors import ConfigError, RunFolderError
from concord.engines import checkpoint
from tests.engines import resuming, tiny

ROOT = Path(__file__).parents[2]

Parameters = dict[str, torch.Tensor]


@pytest.fixture(scope="module", autouse=True)
def _method() -> Iterator[None]:
    with resuming.remembering_method():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Parameters]:
    """The run without interruption, with a checkpoint after every step."""
    folder = tmp_path_factory.mktemp("whole")
    run = resuming.trainer(folder)
    run.train()
    return folder, resuming.parameters(run)


def assert_bit_equal(run: object, wanted: Parameters) -> None:
    got = resuming.parameters(run)  # type: ignore[arg-type]
    assert got.keys() == wanted.keys()
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("step", [1, 2, 4, 7, 8, 9, 11])
def test_from_every_step(tmp_path: Path, whole: tuple[Path, Parameters], step: int) -> None:
    """Also in the middle of a generation batch, at the end of an epoch, and between evaluations."""
    folder, wanted = whole
    run = resuming.trainer(tmp_path)
    run.train(resume_from_checkpoint=str(folder / f"checkpoint-{step}"))
    assert_bit_equal(run, wanted)


def test_the_state_matters(tmp_path: Path, whole: tuple[Path, Parameters]) -> None:
    """A checkpoint of somebody else's, without our files: the run goes on, warns, and ends elsewhere.

    So what the tests above compare is real.
    """
    folder, wanted = whole
    torn = tmp_path / "checkpoint-5"
    shutil.copytree(folder / "checkpoint-5", torn)
    (torn / "concord_0.safetensors").unlink()
    (torn / MANIFEST).unlink()
    run = resuming.trainer(tmp_path)
    with pytest.warns(UserWarning, match="concord_0.safetensors is missing: .* not bit-equal"):
        run.train(resume_from_checkpoint=str(torn))
    got = resuming.parameters(run)
    assert not all(torch.equal(got[name], wanted[name]) for name in wanted)


def test_with_another_number_of_processes(tmp_path: Path, whole: tuple[Path, Parameters]) -> None:
    """The batch in use was cut for two: it is generated anew, and everything else is restored."""
    folder = tmp_path / "checkpoint-5"
    shutil.copytree(whole[0] / "checkpoint-5", folder)
    tree = checkpoint.load(folder / "concord_0.safetensors")
    checkpoint.save(folder / "concord_0.safetensors", tree | {"processes": 2})
    (folder / MANIFEST).unlink()
    run = resuming.trainer(tmp_path, max_steps=6, eval_strategy="no")
    run.train(resume_from_checkpoint=str(folder))
    assert run._step == tree["step"] + 2
    assert run._state[-1]["seen"] == tree["own"]["signal"][-1]["seen"] + 1


def test_killed_at_a_random_moment(tmp_path: Path, whole: tuple[Path, Parameters]) -> None:
    """SIGKILL, whenever it hits; then resumed from the last complete checkpoint."""
    chance = random.Random()
    command = [sys.executable, "-m", "tests.engines.resuming", str(tmp_path)]
    with (tmp_path / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    # Its predecessor is whole, even if the one that has just appeared is not.
    target = tmp_path / f"checkpoint-{chance.randint(2, resuming.STEPS - 3)}"
    deadline = time.monotonic() + 120
    while not target.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.2))
    process.kill()
    assert process.wait() == -signal.SIGKILL, (tmp_path / "output").read_text()
    run = resuming.trainer(tmp_path)
    run.train(resume_from_checkpoint=True)
    assert 0 < run._resumed < resuming.STEPS
    assert_bit_equal(run, whole[1])


def test_damaged_checkpoints_are_set_aside_and_said(
    tmp_path: Path, whole: tuple[Path, Parameters], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with a file, and whichever file it is: the last complete checkpoint before it is taken."""
    folder, wanted = whole
    shutil.copytree(folder / "checkpoint-3", tmp_path / "checkpoint-3")
    for number, name in enumerate(("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", MANIFEST), 4):
        shutil.copytree(folder / "checkpoint-4", tmp_path / f"checkpoint-{number}")
        (tmp_path / f"checkpoint-{number}" / name).unlink()
    shutil.copytree(folder / "checkpoint-4", tmp_path / "checkpoint-9")
    (tmp_path / "checkpoint-9" / "model.safetensors").write_bytes(b"short")
    shutil.copytree(folder / "checkpoint-4", tmp_path / "checkpoint-10")
    data = bytearray((tmp_path / "checkpoint-10" / "optimizer.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "checkpoint-10" / "optimizer.pt").write_bytes(data)
    run = resuming.trainer(tmp_path)
    run.train(resume_from_checkpoint=True)
    assert run._resumed == 3
    assert_bit_equal(run, wanted)
    for line in (
        "optimizer.pt holds other bytes than were written; set aside as damaged-checkpoint-10",
        "checkpoint-9 is damaged: model.safetensors has 5 bytes, not ",
        f"checkpoint-8 is damaged: it has no readable {MANIFEST}, which is written last",
        "checkpoint-6 is damaged: rng_state.pth is missing",
        "checkpoint-4 is damaged: optimizer.pt is missing",
    ):
        assert line in caplog.text
    assert (tmp_path / "damaged-checkpoint-9" / "model.safetensors").read_bytes() == b"short"
    with pytest.raises(RunFolderError, match=r"damaged-checkpoint-4 is damaged: optimizer.pt is missing"):
        run.train(resume_from_checkpoint=str(tmp_path / "damaged-checkpoint-4"))


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-7").mkdir()
    with pytest.raises(RunFolderError, match=r"no complete checkpoint in .*; start without resuming"):
        resuming.trainer(tmp_path).train(resume_from_checkpoint=True)
    assert (tmp_path / "damaged-checkpoint-7").is_dir()


def test_from_the_last_step_no_step_is_trained(tmp_path: Path, whole: tuple[Path, Parameters]) -> None:
    """Nor is a summary of no steps logged, which would say that the loss was 0."""
    folder, wanted = whole
    shutil.copytree(folder / f"checkpoint-{resuming.STEPS}", tmp_path / f"checkpoint-{resuming.STEPS}")
    run = resuming.trainer(tmp_path)
    run.train(resume_from_checkpoint=True)
    assert run.state.global_step == resuming.STEPS
    assert_bit_equal(run, wanted)
    assert not any("train_loss" in entry for entry in run.state.log_history)


def test_the_last_complete_checkpoint_outlives_the_writing_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one checkpoint kept, the old one is deleted when the new one is in its place, and not before."""
    seen = []

    def looked(place: Path, folder: Path, *more: object) -> None:
        seen.append((folder.name, sorted(path.name for path in tmp_path.glob("checkpoint-*"))))
        seal(place, folder, *more)  # type: ignore[arg-type]

    monkeypatch.setattr("concord.engines.trl.whole.seal", looked)
    resuming.trainer(tmp_path, max_steps=3, save_total_limit=1, eval_strategy="no").train()
    assert seen == [
        ("checkpoint-1", []),
        ("checkpoint-2", ["checkpoint-1"]),
        ("checkpoint-3", ["checkpoint-2"]),
    ]
    assert [path.name for path in tmp_path.glob("checkpoint-*")] == ["checkpoint-3"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "checkpoint-3"]


def test_a_checkpoint_that_cannot_be_written_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    run = resuming.trainer(tmp_path, max_steps=2, eval_strategy="no")
    monkeypatch.setattr(run, "_save_rng_state", full)
    with pytest.raises(OSError, match="No space left"):
        run.train()
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_checkpoints_of_the_model_alone_are_not_resumed_from(tmp_path: Path) -> None:
    resuming.trainer(tmp_path, max_steps=1, save_only_model=True, eval_strategy="no").train()
    with pytest.raises(RunFolderError, match="no complete checkpoint"):
        resuming.trainer(tmp_path).train(resume_from_checkpoint=True)
    assert (tmp_path / "checkpoint-1").is_dir()  # there is nothing wrong with it


def test_the_best_checkpoint_is_named_where_it_is(tmp_path: Path) -> None:
    options = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "eval_steps": 1, "max_steps": 2}
    run = resuming.trainer(tmp_path, **options)
    run.train()
    assert Path(run.state.best_model_checkpoint).parent == tmp_path
    for state in tmp_path.glob("checkpoint-*/trainer_state.json"):
        assert Path(json.loads(state.read_text())["best_model_checkpoint"]).parent == tmp_path


def test_without_shuffling_too(tmp_path: Path) -> None:
    def run(**changes: object) -> object:
        made = tiny.trainer(
            tmp_path, data=tiny.prompts(8), shuffle_dataset=False, max_steps=5, save_strategy="steps", save_steps=3
        )
        made.train(**changes)  # type: ignore[arg-type]
        return made

    wanted = resuming.parameters(run())  # type: ignore[arg-type]
    assert_bit_equal(run(resume_from_checkpoint=str(tmp_path / "checkpoint-3")), wanted)


def test_evaluation_does_not_advance_the_chain(tmp_path: Path) -> None:
    run = resuming.trainer(tmp_path, max_steps=1, eval_strategy="no", save_strategy="no")
    run.train()
    before = run._state[-1]["seen"], float(run._state[-1]["mean"])
    run.evaluate()
    assert (run._state[-1]["seen"], float(run._state[-1]["mean"])) == before


def test_further_prompts_were_drawn(whole: tuple[Path, Parameters]) -> None:
    """Before and after: else the tests above would not see where the walk through the data stands."""
    drawn = [
        checkpoint.load(whole[0] / f"checkpoint-{step}" / "concord_0.safetensors")["own"]["drawn"] for step in (1, 5, 9)
    ]
    assert 0 < drawn[0] < drawn[1] < drawn[2]


TREE = {
    "numbers": [1, 2.5, None, True, "text"],
    "pair": (torch.arange(3), {"nested": torch.tensor([[True]])}),
    3: torch.tensor(2.0, dtype=torch.bfloat16),
    "nothing": [],
}


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "new" / "tree.safetensors", TREE)
    back = checkpoint.load(tmp_path / "new" / "tree.safetensors")
    assert back["numbers"] == TREE["numbers"]
    assert back["nothing"] == []
    assert isinstance(back["pair"], tuple)
    assert torch.equal(back["pair"][0], torch.arange(3))
    assert torch.equal(back["pair"][1]["nested"], torch.tensor([[True]]))
    assert back[3].dtype == torch.bfloat16
    assert back[3].ndim == 0


def test_a_state_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot checkpoint a set"):
        checkpoint.save(tmp_path / "tree.safetensors", {"state": {1, 2}})

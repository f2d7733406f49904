"""A run that was cut off and resumed ends with the same bits as one that was not."""

from __future__ import annotations

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
    """Without our file the run goes on, warns, and ends elsewhere: what the tests above compare is real."""
    folder, wanted = whole
    torn = tmp_path / "checkpoint-5"
    shutil.copytree(folder / "checkpoint-5", torn)
    (torn / "concord_0.safetensors").unlink()
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


def test_a_torn_checkpoint_is_passed_over(tmp_path: Path, whole: tuple[Path, Parameters]) -> None:
    folder, wanted = whole
    shutil.copytree(folder / "checkpoint-3", tmp_path / "checkpoint-3")
    for number, state in ((10, None), (11, '{"global_st')):
        torn = tmp_path / f"checkpoint-{number}"
        shutil.copytree(folder / "checkpoint-4", torn)
        (torn / "trainer_state.json").unlink()
        if state is not None:
            (torn / "trainer_state.json").write_text(state)
    run = resuming.trainer(tmp_path)
    run.train(resume_from_checkpoint=True)
    assert run._resumed == 3
    assert_bit_equal(run, wanted)


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-7").mkdir()
    with pytest.raises(RunFolderError, match=r"no complete checkpoint in .* \(1 torn\); start without resuming"):
        resuming.trainer(tmp_path).train(resume_from_checkpoint=True)


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

"""Where a run stands, read from its folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from concord.core.durable import seal, stage, unfinished
from concord.core.errors import RunFolderError
from concord.core.lock import LOCK
from concord.run.folder import check_state
from concord.run.state import State, recover, standing

EVALUATION = {"rewards": {"a": 0.5}, "unscored": {"a": 0}, "rows": 4, "length": 3.0, "unfinished": 0.0}
FACTS = json.dumps({"seed": 0, "versions": {}})


def put(folder: Path, name: str, **facts: object) -> Path:
    place = stage(folder / name)
    (place / "weights").write_bytes(b"1234")
    seal(place, folder / name, facts)
    return folder / name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of a run that has been opened."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(FACTS)
    (folder / "config.yaml").write_text("")
    return folder


def state(folder: Path, evaluated: bool = True) -> State:
    return standing(folder, evaluated=evaluated).state


def test_a_run_goes_through_the_states(folder: Path) -> None:
    assert state(folder.parent / "none") is State.FREE
    assert state(folder) is State.OPENED
    (folder / "evaluation.json").write_text(json.dumps({"base": EVALUATION}))
    assert state(folder) is State.OPENED
    (folder / "rollouts").mkdir()
    (folder / "rollouts" / "rollouts_00000000.parquet").write_bytes(b"")
    assert state(folder) is State.STARTED
    put(folder, "checkpoint-2", step=2, max_steps=4, resumable=True)
    found = standing(folder, evaluated=True)
    assert found.state is State.CHECKPOINTED
    assert found.sentence() == "It stands at step 2 of 4; --resume goes on from there"
    put(folder, "checkpoint-10", step=10, max_steps=10, resumable=True)  # behind 2, also as a text before it
    found = standing(folder, evaluated=True)
    assert found.checkpoint is not None
    assert found.checkpoint.at_end
    assert found.sentence() == "All 10 steps are taken; --resume saves the model"
    put(folder, "model")
    assert state(folder) is State.TRAINED
    assert state(folder, evaluated=False) is State.FINISHED
    (folder / "evaluation.json").write_text(json.dumps({"base": EVALUATION, "trained": EVALUATION}))
    assert state(folder) is State.FINISHED


@pytest.mark.parametrize("leaving", ["nothing", "run.json", LOCK, ".run.json.unfinished", "completions/"])
def test_a_start_that_was_stopped_before_its_configuration(tmp_path: Path, leaving: str) -> None:
    if leaving.endswith("/"):
        (tmp_path / leaving).mkdir()
    elif leaving != "nothing":
        (tmp_path / leaving).write_text(FACTS)
    found = standing(tmp_path, evaluated=True)
    assert found.state is State.OPENING
    check_state(found, resume=False)  # both ways on are one
    check_state(found, resume=True)


@pytest.mark.parametrize("name", ["thesis.tex", "run.json", "sub/file", "model/weights"])
def test_what_is_somebodys_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("{}")
    found = standing(tmp_path, evaluated=True)
    assert found.state is State.FOREIGN
    with pytest.raises(RunFolderError, match="is not empty and holds no run; set another out"):
        check_state(found, resume=False)
    with pytest.raises(RunFolderError, match="holds no run to resume"):
        check_state(found, resume=True)


def test_what_is_damaged_counts_as_absent_and_is_set_aside(folder: Path) -> None:
    put(folder, "checkpoint-2", step=2, max_steps=4, resumable=True)
    put(folder, "checkpoint-4", step=4, max_steps=4, resumable=True)
    put(folder, "model")
    (folder / "checkpoint-4" / "weights").unlink()
    (folder / "model" / "weights").write_bytes(b"1235")
    (folder / "evaluation.json").write_text('{"base": 3}')
    assert standing(folder, evaluated=True, checksums=False).state is State.TRAINED  # the size is right
    found = standing(folder, evaluated=True)
    assert found.state is State.CHECKPOINTED
    unfinished(folder / "rollouts").mkdir()
    assert sorted(recover(found)) == [
        "checkpoint-4 is damaged: weights is missing; set aside as damaged-checkpoint-4",
        "evaluation.json is damaged: it does not hold evaluations; set aside as damaged-evaluation.json",
        "model is damaged: weights holds other bytes than were written; set aside as damaged-model",
    ]
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint-2",
        "config.yaml",
        "damaged-checkpoint-4",
        "damaged-evaluation.json",
        "damaged-model",
        "run.json",
    ]
    again = standing(folder, evaluated=True)
    assert again.damaged == {}
    assert again.checkpoint == found.checkpoint


def test_a_run_of_which_all_is_damaged_starts_over(folder: Path) -> None:
    path = put(folder, "checkpoint-2", step=2, max_steps=4, resumable=True)
    (path / "weights").unlink()
    found = standing(folder, evaluated=True)
    assert found.state is State.STARTED
    assert found.sentence() == "It has no complete checkpoint; --resume starts over from step 0"


def test_checkpoints_that_hold_the_model_alone_are_passed_over(folder: Path) -> None:
    put(folder, "checkpoint-2", step=2, max_steps=4, resumable=True)
    put(folder, "checkpoint-3", step=3, max_steps=4, resumable=False)
    found = standing(folder, evaluated=True)
    assert found.checkpoint is not None
    assert found.checkpoint.step == 2
    assert found.damaged == {}


def test_every_state_has_a_way_on(folder: Path) -> None:
    """Starting and resuming are refused together only where another out is the way on."""
    for one in State:
        found = standing(folder, evaluated=True)
        found = type(found)(folder, one)
        refused = []
        for resume in (False, True):
            try:
                check_state(found, resume)
            except RunFolderError as error:
                refused.append(str(error))
        assert len(refused) < 2 or one is State.FOREIGN
        assert found.sentence()

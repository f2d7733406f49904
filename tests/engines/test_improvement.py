"""PIPO in TRL: a first pass over the batch before, with its own rows, denominators and sampling policy."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from concord.core.errors import ConfigError
from concord.engines import checkpoint
from concord.engines.trl.improvement import ImprovingTrainer
from concord.engines.trl.trainer import ConcordTrainer
from tests.engines import improving, resuming, tiny
from tests.engines.gradients import Loss, assert_gradients, record

# ---- Both passes ----


@pytest.mark.parametrize(
    ("changes", "loss"),
    [
        ({"method": "gd2po", "beta": 0.1, "rewards": [tiny.early, tiny.brief]}, Loss(beta=0.1)),
        ({"method": "dapo", "rewards": [tiny.first_letter]}, Loss(high=0.28, count_dropped=False)),
    ],
    ids=["gd2po_with_penalty", "dapo"],
)
def test_the_gradients_are_those_by_hand(tmp_path: Path, changes: dict[str, Any], loss: Loss) -> None:
    """Of the batch before with C, once in progress and once in setback; of the batch at hand; none while early."""
    each: list[list[float]] = [[] for _ in changes["rewards"]]
    rewards = [improving.moving(reward, its) for reward, its in zip(changes["rewards"], each, strict=True)]
    policy, loss.reference = tiny.saved_model(tmp_path / "base"), tiny.model().state_dict() if loss.beta else None
    trainer = improving.trainer(tmp_path / "run", model=policy, max_steps=16, **changes | {"rewards": rewards})
    steps = record(trainer)
    means = [sum(parts) for parts in zip(*each, strict=True)]
    assert_gradients(steps, improving.by_hand(steps, means, loss), tolerance=1e-5)  # of gradients up to 2, in float32
    assert any((~b["keep"]).any() for step in steps for b in step.batches), "nothing was dropped"
    first, second, up, down = [entry for entry in trainer.state.log_history if "concord/pipo/mean" in entry]
    assert [entry["concord/pipo/mean"] for entry in (first, second, up, down)] == pytest.approx(means)
    assert first["concord/pipo/progress"] == second["concord/pipo/progress"] == 0
    assert up["concord/pipo/progress"] == pytest.approx(improving.phi(means[:3]), rel=1e-4)
    assert improving.SLACK * down["concord/pipo/progress"] == pytest.approx(improving.phi(means), rel=1e-4)
    assert down["concord/pipo/progress"] < 0 < up["concord/pipo/progress"]
    # Far from the policy that sampled the batch before, as it was not when that batch was at hand.
    assert min(entry["concord/objective/clipped"] for entry in (up, down)) > 0


# ---- Where nothing is made again ----


def falling() -> Any:
    """One less for every batch."""
    calls: list[int] = []

    def fall(completions: list[str], **_: Any) -> list[float]:
        calls.append(1)
        return [score - len(calls) for score in tiny.brief(completions)]

    return fall


def test_what_is_left_out_moves_nothing(tmp_path: Path) -> None:
    """Until the history is full, and after steps that hurt at slack 0, it is the trainer without a second pass.

    Also with a penalty, momentum and decay.
    """

    def end(cls: Any, **changes: Any) -> dict[str, torch.Tensor]:
        run = improving.trainer(
            tmp_path / "run", cls, model=tiny.saved_model(tmp_path / "base"), rewards=[falling()], beta=0.1,
            optim="adamw_torch", weight_decay=0.1, learning_rate=0.01, **changes,
        )  # fmt: skip
        run.train()
        return resuming.parameters(run)

    base = end(ConcordTrainer, num_iterations=1, max_steps=3 * improving.PASS)
    for window, slack, same in ((3, 0.5, True), (2, 0.0, True), (2, 0.5, False)):
        improved = end(partial(ImprovingTrainer, window=window, slack=slack))
        assert all(torch.equal(value, base[name]) for name, value in improved.items()) == same


WHOLE = {"per_device_train_batch_size": 16, "gradient_accumulation_steps": 1, "steps_per_generation": 1}


@pytest.mark.parametrize(
    "changes", [{"beta": 0.1}, {"method": "real", "max_steps": 4, **WHOLE}], ids=["penalty", "every_row"]
)
def test_its_gradient_is_exactly_0(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Before it is taken away, too; the losses act on rows of advantage 0."""
    trainer = improving.trainer(
        tmp_path / "run", model=tiny.saved_model(tmp_path / "base"), **{"max_steps": 8} | changes
    )
    trainer.remove_callback(trainer._silence)
    steps = record(trainer)
    half = trainer.args.steps_per_generation // trainer.args.gradient_accumulation_steps
    for number, step in enumerate(steps):
        silent = number // half % 2 == 0
        assert all((value == 0).all() for value in step.gradient.values()) == silent


# ---- Resuming ----


@pytest.fixture(scope="module", autouse=True)
def _method() -> Iterator[None]:
    with resuming.remembering_method():
        yield


def resumable(folder: Path) -> Any:
    """Dynamic sampling, a chain with state, AdamW, dropout and evaluation; the third batch fills the history."""
    return resuming.trainer(folder, cls=improving.TRAINER, rewards=[tiny.first_letter], logging_steps=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("whole")
    run = resumable(folder)
    run.train()
    third = next(entry for entry in run.state.log_history if entry["step"] == 9)
    assert third["concord/pipo/progress"] != 0
    assert third["concord/computed"] > 0
    return folder, resuming.parameters(run)


@pytest.mark.parametrize("step", [3, 8, 9, 10])
def test_a_resumed_run_ends_with_the_same_bits(
    tmp_path: Path, whole: tuple[Path, dict[str, torch.Tensor]], step: int
) -> None:
    """From within a batch at hand, between batches, within a batch before, and between the two passes."""
    folder, wanted = whole
    run = resumable(tmp_path)
    run.train(resume_from_checkpoint=str(folder / f"checkpoint-{step}"))
    got = resuming.parameters(run)
    assert all(torch.equal(got[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("step", [8, 9])
def test_with_another_number_of_processes(
    tmp_path: Path, whole: tuple[Path, dict[str, torch.Tensor]], step: int
) -> None:
    """The batch before was cut for two, so it is not made again; the history is as it was."""
    file = whole[0] / f"checkpoint-{step}" / "concord_0.safetensors"
    tree = checkpoint.load(file)
    tree["own"]["improvement"]["processes"] = 2
    run = resumable(tmp_path)
    run._step, run._buffered_inputs = step * 2, None
    run._restore(tree["own"])
    assert run._repeated is None
    assert run._buffered_inputs is None
    assert torch.equal(run._past.means, tree["own"]["improvement"]["means"])


# ---- What cannot be ----

CLIPO = {"method": "clipo", "method_args": {"threshold": 0.4}, "rewards": [tiny.early], "num_generations": 8}


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"num_iterations": 1}, {}, "num_iterations must be 2, one pass for the batch before .*; got 1"),
        ({}, {"window": 1}, "a window of at least 2 batches, got 1"),
        ({}, {"slack": -1.0}, "slack must not be negative"),
        (CLIPO, {}, "'clipo' trains a learner"),
        ({"method": "thr"}, {}, "'thr' tells the tokens of a response apart"),
        ({"method": "gbpo"}, {}, r"the base's loss reads columns \['target'\] beside the advantages"),
        ({"gradient_accumulation_steps": 8}, {}, r"steps_per_generation \(4\) must be a multiple of .*\(8\)"),
    ],
)
def test_a_run_that_cannot_be_is_refused(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        improving.trainer(tmp_path, partial(ImprovingTrainer, **options), **changes)


def test_gradients_that_cannot_be_taken_away_are_refused(tmp_path: Path) -> None:
    trainer = improving.trainer(tmp_path)
    trainer.is_fsdp_enabled = True  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="not with DeepSpeed or FSDP"):
        trainer._check()

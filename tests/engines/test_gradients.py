"""The gradient of a step is that of one big batch, whatever was left out and however it was cut up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from concord.core.errors import ConfigError
from concord.engines.trl import ConcordTrainer
from tests.engines import tiny
from tests.engines.gradients import Loss, assert_gradients, expected, record

FOURS = {"per_device_train_batch_size": 4}
CUTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "accumulated": FOURS | {"gradient_accumulation_steps": 4},
    "one_row_each": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 16},
    "two_steps_a_generation": FOURS | {"gradient_accumulation_steps": 2, "steps_per_generation": 4},
    "two_iterations": FOURS | {"gradient_accumulation_steps": 4, "num_iterations": 2},
    "both": FOURS | {"gradient_accumulation_steps": 2, "steps_per_generation": 4, "num_iterations": 2},
    "truncated_masked": FOURS | {"gradient_accumulation_steps": 4, "mask_truncated_completions": True},
    "padded_to_eights": FOURS | {"gradient_accumulation_steps": 4, "pad_to_multiple_of": 8},
}

METHODS: dict[str, tuple[dict[str, Any], Loss]] = {
    "gd2po": ({"method": "gd2po"}, Loss()),
    "paper": ({"method": "gd2po", "method_args": {"rule": "paper", "tau": 0.5}}, Loss(mean="sequence")),
    "dapo": ({"method": "dapo"}, Loss(high=0.28, count_dropped=False)),
    "gspo": ({"method": "gspo"}, Loss(3e-4, 4e-4, None, "sequence", "sequence")),
    "dr_grpo": ({"method": "dr_grpo", "method_args": {"max_length": 8}}, Loss(mean="constant", constant=8)),
}


@pytest.mark.parametrize("cut", CUTS)
def test_against_one_big_batch(tmp_path: Path, cut: str) -> None:
    steps = record(tiny.trainer(tmp_path, max_steps=4, **CUTS[cut]))
    assert any((~b["keep"]).any() for s in steps for b in s.batches), "nothing was dropped"
    assert_gradients(steps, expected(steps, Loss()))


@pytest.mark.parametrize("name", METHODS)
def test_every_kind_of_loss(tmp_path: Path, name: str) -> None:
    changes, loss = METHODS[name]
    rewards = [tiny.first_letter] if name == "dapo" else tiny.REWARDS
    steps = record(tiny.trainer(tmp_path, max_steps=4, rewards=rewards, learning_rate=0.5, **CUTS["both"], **changes))
    if name == "dapo":
        assert any((~b["keep"]).any() for s in steps for b in s.batches), "nothing was dropped"
    assert_gradients(steps, expected(steps, loss))


class Everything(ConcordTrainer):
    """Computes every row, dropped or not."""

    def _computed(self, inputs: Any) -> torch.Tensor:
        return torch.ones_like(inputs["keep"])


@pytest.mark.parametrize("cut", CUTS)
def test_leaving_rows_out_changes_nothing(tmp_path: Path, cut: str) -> None:
    """Also against the trainer itself, computing what it would leave out: the chain zeroes those advantages."""
    left_out = record(tiny.trainer(tmp_path, **CUTS[cut]))
    computed = record(tiny.trainer(tmp_path, Everything, **CUTS[cut]))
    assert_gradients(left_out, [step.gradient for step in computed])


def test_nothing_kept_moves_nothing(tmp_path: Path) -> None:
    """No signal anywhere: the gradient is there, and exactly 0."""

    def same(completions: list[str], **_: Any) -> list[float]:
        return [0.7] * len(completions)

    for step in record(tiny.trainer(tmp_path, rewards=[same])):
        assert step.gradient.keys() == dict(tiny.model().named_parameters()).keys()
        assert all((value == 0).all() for value in step.gradient.values())


def test_rows_are_really_left_out(tmp_path: Path) -> None:
    """The forward pass sees the kept rows, and no column that is padding in all of them."""
    seen: list[tuple[int, ...]] = []

    class Spy(ConcordTrainer):
        def _get_per_token_logps_and_entropies(self, model: Any, input_ids: Any, *more: Any, **options: Any) -> Any:
            if torch.is_grad_enabled():
                seen.append(tuple(input_ids.shape))
            return super()._get_per_token_logps_and_entropies(model, input_ids, *more, **options)

    trainer = tiny.trainer(tmp_path, Spy, max_steps=1)
    (step,) = record(trainer)
    (batch,) = step.batches
    rows = batch["keep"] & (batch["advantages"] != 0)
    assert 0 < rows.sum() < len(rows)
    width = batch["prompt_mask"][rows].sum(1).max() + batch["completion_mask"][rows].sum(1).max()
    assert seen == [(int(rows.sum()), int(width))]


def test_positions_that_are_absolute_are_not_moved(tmp_path: Path) -> None:
    """GPT-2 counts positions from the left edge, padding and all; TRL's ratio would be off if they moved."""
    from transformers import GPT2Config, GPT2LMHeadModel

    def build() -> GPT2LMHeadModel:
        torch.manual_seed(0)
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=len(tiny.WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=64, initializer_range=0.2,
                eos_token_id=1, pad_token_id=0, bos_token_id=None, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
            )
        )  # fmt: skip

    cut = CUTS["both"]
    left_out = record(tiny.trainer(tmp_path, model=build(), max_steps=4, **cut))
    computed = record(tiny.trainer(tmp_path, Everything, model=build(), max_steps=4, **cut))
    assert_gradients(left_out, [step.gradient for step in computed])


def test_a_step_that_mixes_generations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"steps_per_generation \(2\) must be a multiple of .*\(4\)"):
        tiny.config(tmp_path, gradient_accumulation_steps=4, steps_per_generation=2, per_device_train_batch_size=8)

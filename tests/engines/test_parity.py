"""Where a method here and an option of TRL are the same mathematics, whole runs end in the same place.

TRL's own trainer is the witness: its advantages, its loss, its denominators; only sampling is shared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOConfig, GRPOTrainer

from tests.engines import tiny

# TRL's own metrics, once a process.
pytestmark = pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad=True to a scalar:UserWarning")

ON_POLICY = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "max_steps": 3}
OFF_POLICY = ON_POLICY | {"num_iterations": 2, "max_steps": 4, "learning_rate": 0.2, "beta": 0.2}

SAME: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gdpo": ({}, {"multi_objective_aggregation": "normalize_then_sum"}),
    "grpo": ({}, {"loss_type": "grpo"}),
    "dr_grpo": ({"max_length": 8}, {"loss_type": "dr_grpo", "scale_rewards": "none"}),
    "lite_ppo": ({}, {"scale_rewards": "batch"}),
    "gspo": ({}, {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 3e-4, "epsilon_high": 4e-4}),
}


def theirs(folder: Path, **changes: Any) -> GRPOTrainer:
    ours = tiny.config(folder)
    shared = {
        name: getattr(ours, name)
        for name in (
            "output_dir", "num_generations", "max_completion_length", "optim", "lr_scheduler_type", "max_grad_norm",
            "logging_steps", "save_strategy", "report_to", "use_cpu", "gradient_checkpointing", "disable_tqdm",
            "dataloader_pin_memory", "seed", "learning_rate", "use_bias_correction_kl", "bf16",
        )
    }  # fmt: skip
    return GRPOTrainer(
        model=tiny.saved_model(folder / "base"),
        reward_funcs=tiny.REWARDS,
        args=GRPOConfig(**shared | changes),
        train_dataset=tiny.prompts(),
        processing_class=tiny.tokenizer(),
    )


def moved(trainer: GRPOTrainer) -> torch.Tensor:
    start = torch.cat([p.flatten() for p in tiny.model().parameters()])
    trainer.train()
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()]) - start


@pytest.mark.parametrize("policy", ["on", "off"])
@pytest.mark.parametrize("method", SAME)
def test_as_trl_does_it(tmp_path: Path, method: str, policy: str) -> None:
    parameters, options = SAME[method]
    cut = {**(ON_POLICY if policy == "on" else OFF_POLICY), "reward_weights": [1.0, 0.5, 2.0]}
    ours = tiny.trainer(
        tmp_path,
        method=method,
        method_args={"numerics": "trl", **parameters},
        model=tiny.saved_model(tmp_path / "base"),
        **cut,
    )
    here, there = moved(ours), moved(theirs(tmp_path, **cut, **options))
    assert float(there.abs().max()) > 1e-3
    torch.testing.assert_close(here, there, rtol=0, atol=2e-6)

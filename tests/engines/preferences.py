"""Preference pairs for the tiny model, and a trainer on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from trl import DPOConfig, DPOTrainer

from concord.engines.trl.preference import ConcordDPOConfig, ConcordDPOTrainer
from tests.engines import tiny


def pairs(count: int = 12, **columns: list[Any]) -> Dataset:
    """Chosen responses of two to five letters, rejected ones of one to four."""
    letters = tiny.WORDS[2:]

    def text(seed: int, length: int) -> str:
        return "".join(f" {letters[(seed * 5 + 3 * j) % len(letters)]}" for j in range(length))

    return Dataset.from_dict(
        {
            "prompt": [text(i, 1 + i % 3)[1:] for i in range(count)],
            "chosen": [text(i + 1, 2 + i % 4) for i in range(count)],
            "rejected": [text(i + 7, 1 + (i // 2) % 4) for i in range(count)],
        }
        | columns
    )


def options(folder: Path | str, **changes: Any) -> dict[str, Any]:
    """Four pairs a micro-batch, plain SGD so that gradients show in the parameters."""
    return {
        "output_dir": str(folder), "per_device_train_batch_size": 4, "per_device_eval_batch_size": 4,
        "learning_rate": 0.05, "optim": "sgd", "lr_scheduler_type": "constant", "max_grad_norm": 0.0, "max_steps": 4,
        "logging_steps": 1, "save_strategy": "no", "report_to": [], "use_cpu": True, "gradient_checkpointing": False,
        "disable_tqdm": True, "dataloader_pin_memory": False, "bf16": False, "seed": 3,
    } | changes  # fmt: skip


def reference() -> Any:
    """A reference that is not the policy, so that the first loss says something."""
    return tiny.model(seed=1)


def theirs(folder: Path | str, **changes: Any) -> DPOTrainer:
    """TRL's own trainer."""
    return DPOTrainer(
        tiny.model(), reference(), DPOConfig(**options(folder, **changes)), train_dataset=pairs(),
        processing_class=tiny.tokenizer(),
    )  # fmt: skip


def ours(folder: Path | str, cls: type[ConcordDPOTrainer] = ConcordDPOTrainer, **changes: Any) -> ConcordDPOTrainer:
    """The adapter; ``data``, ``eval_dataset`` and ``ref_model`` replace theirs."""
    data, ref, held = changes.pop("data", None), changes.pop("ref_model", None), changes.pop("eval_dataset", None)
    return cls(
        tiny.model(), reference() if ref is None else ref, ConcordDPOConfig(**options(folder, **changes)),
        train_dataset=pairs() if data is None else data, eval_dataset=held, processing_class=tiny.tokenizer(),
    )  # fmt: skip


def parameters(trainer: Any) -> torch.Tensor:
    """All of the policy's, in one vector."""
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])

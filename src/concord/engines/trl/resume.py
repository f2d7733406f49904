"""TRL's trainer, resuming bit-equal.

transformers restores the parameters, the optimiser, the place in the epoch and the random
generators. What TRL adds to that state is restored here: the generation batch that was being worked
through, the position in it, and the data order of later epochs.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from trl import GRPOTrainer

from concord.engines.checkpoint import load, save
from concord.engines.trl.whole import WholeCheckpoints


class ResumableTrainer(WholeCheckpoints, GRPOTrainer):  # type: ignore[misc]
    """``GRPOTrainer`` whose checkpoints hold its own state too, one file a process.

    On the same machine and number of processes, a run that was killed and resumed ends with the bits
    of one that was not. With another number of processes it resumes with a new generation batch.
    """

    _buffered_inputs: Any

    def _own_state(self) -> dict[str, Any]:
        """What a subclass adds, as :func:`concord.engines.checkpoint.save` takes it."""
        return {}

    def _restore(self, state: dict[str, Any]) -> None:
        """Take back what :meth:`_own_state` gave."""

    def _get_train_sampler(self, dataset: Any = None) -> Any:
        sampler = super()._get_train_sampler(dataset)
        if sampler.shuffle:  # it draws a permutation each epoch, and starts over when it is made anew
            steps = len(sampler) // self.args.generation_batch_size // self.args.gradient_accumulation_steps
            for _ in range(self._resumed // max(1, steps)):
                torch.randperm(sampler.num_samples, generator=sampler.generator)
        return sampler

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        in_use = self._step % (self.args.steps_per_generation * self.num_iterations) != 0
        tree = {
            "step": self._step,
            "processes": self.accelerator.num_processes,
            "buffer": self._buffered_inputs if in_use else None,
            "own": self._own_state(),
        }
        save(_file(output_dir, self.accelerator.process_index), tree)
        # transformers marks the checkpoint as complete next; every process's file must be there by then.
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            self._load_own(checkpoint)

    def _load_own(self, folder: str) -> None:
        file, first = _file(folder, self.accelerator.process_index), _file(folder, 0)
        if not first.exists():
            warnings.warn(f"{first} is missing: training resumes, but not bit-equal", stacklevel=2)
            return
        tree = load(file if file.exists() else first, self.accelerator.device)  # there may be more processes now
        self._step = tree["step"]
        self._buffered_inputs = tree["buffer"] if tree["processes"] == self.accelerator.num_processes else None
        self._restore(tree["own"])


def _file(folder: str, process: int) -> Path:
    return Path(folder, f"concord_{process}.safetensors")

"""One process of a training run: ``python -m tests.engines.worker FOLDER CASE...``, with RANK and WORLD_SIZE set."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from concord.core.errors import RewardError
from tests.engines import fading, improving, tiny
from tests.engines.gradients import record

ROOT = Path(__file__).parents[2]

CASES: dict[str, dict[str, Any]] = {
    # Four rows a process and micro-batch; groups of eight are split across the two.
    "split_groups": {"num_generations": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2},
    # One row each: micro-batches in which one process has nothing to compute, or neither has.
    "idle": {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4, "steps_per_generation": 8},
    "dapo": {"method": "dapo", "rewards": [tiny.first_letter], "per_device_train_batch_size": 8},
    # Six rows a process: the second of three groups is split, and its refill may come from either.
    "refill": {
        "method": "dapo", "rewards": [tiny.first_letter], "per_device_train_batch_size": 6, "refill_rounds": 2,
        "beta": 0.1, "num_iterations": 2, "max_steps": 4,
    },
    "clipo": {
        "method": "clipo", "method_args": {"threshold": 0.4, "dim": 8}, "rewards": [tiny.early],
        "num_generations": 8, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 2,
    },
    # Twelve rows a process: the second of three groups is split.
    "pipo": {
        "cls": improving.TRAINER, "method": "grpo", "rewards": [tiny.early], **improving.CUT, "num_generations": 8,
        "per_device_train_batch_size": 3, "max_steps": 12,
    },
    # Six rows a process, so the second of three groups is split; empty groups are refilled; responses of two widths.
    "fading": {
        "cls": fading.Measured, "method": "fading", "rewards": [tiny.first_letter], "per_device_train_batch_size": 6,
        "max_completion_length": 40, "refill_rounds": 2, "max_steps": 2,
    },
    **{name: {"method": name, "rewards": [tiny.first_letter], "per_device_train_batch_size": 4}
       for name in ("dcpo", "ppo")},
    # Groups that a process has as a whole, also those that are drawn anew.
    "thr": {
        "method": "thr", "rewards": [tiny.first_letter], "per_device_train_batch_size": 8, "refill_rounds": 1,
        "max_steps": 2,
    },
    "copo": {
        "method": "copo", "rewards": [tiny.first_letter], "per_device_train_batch_size": 6, "max_steps": 2,
        "options": {"columns": {"answers": tiny.last_letter}},
    },
}  # fmt: skip


def main(folder: Path, cases: list[str]) -> None:
    rank, recorded = int(os.environ["RANK"]), {}
    with fading.entered():
        for case in cases:
            changes = {"max_steps": 3, "ddp_backend": "gloo", "ddp_find_unused_parameters": False} | CASES[case]
            trainer = tiny.trainer(folder / case, model=tiny.saved_model(folder / "base"), **changes)
            steps = record(trainer)
            recorded[case] = {"steps": [vars(step) for step in steps], "log": trainer.state.log_history}
            recorded[case] |= {"widths": trainer.widths} if case == "fading" else {}
            if trainer._learning is not None:
                recorded[case]["learner"] = trainer._learning.state()["tensors"]
    recorded["resumed"] = resumed(folder)
    recorded["stopped"] = stopped(folder)
    torch.save(recorded, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()


def resumed(folder: Path) -> list[dict[str, torch.Tensor]]:
    """The parameters at the end of a run, and of one resumed in the middle of a generation batch."""
    ends = []
    for start in (None, str(folder / "resumed" / "checkpoint-3")):
        trainer = tiny.trainer(
            folder / "resumed", model=tiny.saved_model(folder / "base"), max_steps=6, num_iterations=2,
            optim="adamw_torch", per_device_train_batch_size=8, save_strategy="steps", save_steps=3, ddp_backend="gloo",
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=start)
        ends.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    return ends


def stopped(folder: Path) -> str:
    """What this process says when a reward fails in the other one."""

    def elsewhere(completions: list[str], **_: Any) -> list[float]:
        if os.environ["RANK"] == "1":
            raise LookupError("only here")
        return [0.0] * len(completions)

    trainer = tiny.trainer(folder / "stopped", rewards=[elsewhere], per_device_train_batch_size=8, ddp_backend="gloo")
    try:
        trainer.train()
    except RewardError as error:
        return str(error)
    return "went on"


def run(folder: Path, cases: list[str], processes: int) -> list[dict[str, Any]]:
    """Run the cases in several processes; what each of them recorded."""
    tiny.saved_model(folder / "base")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = os.environ | {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    command = [sys.executable, "-m", "tests.engines.worker", str(folder), *cases]
    running = [
        subprocess.Popen(
            command, cwd=ROOT, env=world | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip
    try:
        outputs = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    assert not any(process.returncode for process in running), "\n----\n".join(o[-3000:] for o in outputs)
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(processes)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

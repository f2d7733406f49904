"""One process of a training run: ``python -m tests.reward_models.worker FOLDER``, with RANK and WORLD_SIZE set."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from concord.reward_models.objective import CorrelationTerm, InformationTerm, Objective
from tests.reward_models import tiny

ROOT = Path(__file__).parents[2]

_LENGTH = InformationTerm("length", weight=2.0, hidden=8, steps=3, learning_rate=1e-2)
_TERMS = (_LENGTH, CorrelationTerm(0.5))
CASES = {"update": Objective(_TERMS), "micro_batch": Objective(_TERMS, over="micro_batch")}


def train(folder: Path, processes: int) -> dict[str, dict[str, Any]]:
    """Train every case; a micro-batch holds the same pairs, whatever the number of processes."""
    found = {}
    for name, objective in CASES.items():
        trainer = tiny.trainer(
            folder / name, objective, per_device_train_batch_size=4 // processes, gradient_accumulation_steps=2,
            max_steps=2, ddp_backend="gloo" if processes > 1 else None,
        )  # fmt: skip
        trainer.train()
        weights = {key: value.clone() for key, value in trainer.model.state_dict().items()}
        probe = trainer.penalties[0].probe
        assert probe is not None
        found[name] = {"weights": weights, "probe": probe.state_dict(), "log": trainer.state.log_history}
    return found


def run(folder: Path, processes: int) -> list[dict[str, Any]]:
    """Train in several processes; what each of them found."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = os.environ | {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.reward_models.worker", str(folder)], cwd=ROOT,
            env=world | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
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


def main(folder: Path) -> None:
    found = train(folder, int(os.environ["WORLD_SIZE"]))
    torch.save(found, folder / f"rank{os.environ['RANK']}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

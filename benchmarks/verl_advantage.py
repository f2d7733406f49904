"""What the advantages cost verl's driver: its own loops against Concord's plug-in, on the same DataProto.

    python benchmarks/verl_advantage.py            # in the environment of `make test-engines`

The driver is one process, and its loop runs on one thread while every accelerator waits. All programs are called
through verl's ``compute_advantage``, in turn, on one thread. GDPO's and Concord's advantages are compared first.
"""

from __future__ import annotations

import importlib.util
import platform
import statistics
import sys
import time
from typing import Any

import numpy as np
import torch

G, SEED = 8, 0
NAMES = tuple(f"reward{index}" for index in range(8))


def batch(count: int, rewards: int, width: int) -> Any:
    """A step's rows in random order, as verl's balancing leaves them; every group has a signal in every reward."""
    from tensordict import TensorDict
    from verl import DataProto

    random = np.random.default_rng(SEED)
    order = random.permutation(count)
    uids = np.array([f"prompt-{index // G:06d}" for index in order], dtype=object)
    scores = random.normal(size=(count, rewards)).astype(np.float32)
    lengths = torch.tensor(random.integers(1, width + 1, size=count))
    mask = (torch.arange(width) < lengths[:, None]).long()
    tokens = torch.zeros(count, width)
    tokens[torch.arange(count), lengths - 1] = torch.tensor(scores.sum(1))
    rows = {
        "prompts": torch.ones(count, 1, dtype=torch.long),
        "attention_mask": torch.cat([torch.ones(count, 1, dtype=torch.long), mask], 1),
        "response_mask": mask,
        "token_level_rewards": tokens,
    }
    columns = {name: scores[:, index] for index, name in enumerate(NAMES[:rewards])}
    return DataProto(batch=TensorDict(rows, batch_size=count), non_tensor_batch={"uid": uids, **columns})


def programs(rewards: int) -> dict[str, tuple[str, Any]]:
    """By name, verl's estimator and configuration."""
    from omegaconf import OmegaConf

    names = list(NAMES[:rewards])

    def concord(method: str) -> Any:
        return OmegaConf.create({"concord": {"method": method, "rewards": names}})

    return {
        "verl grpo": ("grpo", OmegaConf.create({})),
        "verl gdpo": ("gdpo", OmegaConf.create({"gdpo_reward_keys": names})),
        "concord gdpo": ("gdpo", concord("gdpo")),
        "concord gd2po": ("gdpo", concord("gd2po")),
    }


def measure(count: int, rewards: int, width: int, rounds: int) -> dict[str, float]:
    """Median seconds of each, run in turn so that a change in the machine's speed meets all alike."""
    from verl.trainer.ppo.ray_trainer import compute_advantage

    data, chosen = batch(count, rewards, width), programs(rewards)

    def run(name: str) -> torch.Tensor:
        estimator, config = chosen[name]
        found: torch.Tensor = compute_advantage(data, adv_estimator=estimator, config=config).batch["advantages"]
        return found

    torch.testing.assert_close(run("concord gdpo"), run("verl gdpo"), atol=1e-4, rtol=1e-4)
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    for _ in range(rounds):
        for name in chosen:
            start = time.perf_counter()
            run(name)
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    if importlib.util.find_spec("verl") is None:
        print("verl is not in this environment; see `make test-engines`")
        return
    torch.set_num_threads(1)
    import verl

    rounds = 5 if len(sys.argv) < 2 else int(sys.argv[1])
    print(f"compute_advantage, groups of {G}, seed {SEED}, one thread, median of {rounds}, seconds")
    print(
        f"verl {verl.__version__}, torch {torch.__version__}, {platform.machine()}, Python {platform.python_version()}"
    )
    print(f"{'N':>7}{'K':>3}{'T':>6}" + "".join(f"{name:>15}" for name in programs(1)) + f"{'gdpo ratio':>12}")
    sizes = [(n, 3, 1024) for n in (1024, 8192, 32768)] + [(8192, k, 1024) for k in (1, 8)] + [(8192, 3, 4096)]
    for count, rewards, width in sizes:
        took = measure(count, rewards, width, rounds)
        ratio = took["verl gdpo"] / took["concord gdpo"]
        print(
            f"{count:7d}{rewards:3d}{width:6d}" + "".join(f"{s:15.3f}" for s in took.values()) + f"{ratio:12.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""What a GD2PO signal costs: string ids to advantages, against a plain loop and the contiguous floor.

    python benchmarks/signal_speed.py

Three programs compute the same advantages (checked) from the same rewards, side by side in one
process on one thread: Concord from string ids; the same mathematics as a loop over groups, as
engines write it; and, as the floor, the bare tensor operations in float32 on rewards that already lie as
[prompts, rollouts, rewards], without ids, NaN handling, float noise, exact zeros or metrics, and with deviations from
sums of squares, which are faster than ``std`` and lose the digits of scores on an offset.
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from concord import Groups, Rollouts, create
from concord.bench.speed.signal import Scored, loop_over_groups

N, G, K, TAU, SEED, ROUNDS = 8192, 8, 3, 0.8, 0, 31


def concord_signal(rewards: Tensor, lengths: Tensor, ids: list[str]) -> Tensor:
    batch = Rollouts(rewards, Groups.of(ids), tuple("abc"), {"lengths": lengths})
    return create("gd2po", tau=TAU).signal(batch).advantages


def floor(rewards: Tensor, lengths: Tensor) -> Tensor:
    block = rewards.view(-1, G, K)
    mean = block.mean(1, keepdim=True)
    variance = (block.square().sum(1, keepdim=True) - G * mean.square()) / (G - 1)
    z = (block - mean) / (variance.sqrt() + 1e-6)
    mixed = (z > 1e-8).any(2) & (z < -1e-8).any(2)
    kept = ~(mixed & (z.sum(2).abs() / (z.abs().sum(2) + 1e-8) < TAU))
    total = z.sum(2) * kept.float().mean(1, keepdim=True)
    return whiten(total.view(-1), kept.view(-1), lengths)


def whiten(total: Tensor, keep: Tensor, lengths: Tensor) -> Tensor:
    weight = keep * lengths
    mean = (weight * total).sum() / weight.sum()
    variance = (weight * (total - mean).square()).sum() / (weight.sum() - 1)
    return torch.where(keep, (total - mean) * (variance + 1e-8).rsqrt(), 0.0)


def medians(programs: dict[str, Callable[[], Tensor]]) -> dict[str, float]:
    """Median seconds of processor time, run in turn so that a change in the machine's speed meets all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, program in programs.items():
            start = time.process_time()
            program()
            seconds[name].append(time.process_time() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    rewards = torch.rand(N, K, generator=generator)
    lengths = torch.randint(1, 500, (N,), generator=generator)
    ids = [f"prompt-{n // G:05d}" for n in range(N)]
    order = list(range(N))
    random.Random(SEED).shuffle(order)
    mixed_ids, mixed_rewards, mixed_lengths = [ids[n] for n in order], rewards[order], lengths[order]

    programs: dict[str, Callable[[], Tensor]] = {
        "concord, consecutive groups": lambda: concord_signal(rewards, lengths, ids),
        "concord, shuffled rollouts": lambda: concord_signal(mixed_rewards, mixed_lengths, mixed_ids),
        "loop over groups": lambda: loop_over_groups(Scored(rewards, lengths, ids)),
        "floor, contiguous reshape": lambda: floor(rewards, lengths),
    }
    want = floor(rewards, lengths)
    torch.testing.assert_close(programs["concord, consecutive groups"](), want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(programs["concord, shuffled rollouts"](), want[order], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(programs["loop over groups"](), want, rtol=1e-4, atol=1e-4)

    took = medians(programs)
    base = took["floor, contiguous reshape"]
    print(f"GD2PO signal, N={N} G={G} K={K}, seed {SEED}, one thread, median of {ROUNDS}, torch {torch.__version__}")
    print(f"{platform.machine()}, Python {platform.python_version()}")
    for name, value in took.items():
        print(f"  {name:30s} {1e3 * value:9.2f} ms   {value / base:8.1f} x floor")


if __name__ == "__main__":
    main()

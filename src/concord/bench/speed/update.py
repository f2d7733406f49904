"""What leaving dropped rollouts out saves: time and memory of the update, by the share that is kept."""

from __future__ import annotations

import torch
from torch import Tensor

from concord.bench.speed.table import SpeedTable, in_turn, medians
from concord.bench.tasks import TASKS
from concord.core.chain import Chain
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage
from concord.engines.loop import Loop, Sampled
from concord.methods import Method, gdpo

TASK, SHARES, SEED, ROUNDS = "tools3", (1.0, 0.8, 0.6, 0.4, 0.2), 0, 7


class KeepMarked(Stage):
    """Keep the rollouts that the column "marked" marks."""

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        return signal.to(keep=signal.keep & batch.column("marked"))


def update_table() -> SpeedTable:
    """Seconds of one update, and bytes held for its backward pass, against the share of rollouts kept.

    The rollouts are sampled once from a policy that ships; a share of them is kept at random.
    """
    task = TASKS[TASK]
    policy, tokens = task.policy(0)
    base = gdpo()
    method = Method(Chain((*base.signal.stages, KeepMarked())), base.objective)
    loop = Loop(
        policy, method, torch.optim.SGD(policy.parameters(), lr=0.0), end=tokens.end, pad=tokens.pad, limit=task.limit
    )
    drawn = task.draw(SEED, 0)
    sampled = loop.sample([ids for p in drawn for ids in [tokens.encode(p.text)] * task.group], seed=SEED)
    count = len(sampled.lengths)
    rank = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    scores = torch.randn(count, 2, generator=torch.Generator().manual_seed(SEED))
    batches = {
        share: Rollouts(
            scores, Groups.uniform(len(drawn), task.group), ("a", "b"), {"marked": rank < round(share * count)}
        )
        for share in SHARES
    }
    held = {share: _held(loop, sampled, batch) for share, batch in batches.items()}
    programs = {str(share): (lambda batch=batch: loop.step(sampled, batch)) for share, batch in batches.items()}
    took = medians(in_turn(programs, ROUNDS))
    whole, most = took[str(SHARES[0])], held[SHARES[0]]
    return SpeedTable(
        f"One update of {count} rollouts of {TASK}, {sum(p.numel() for p in policy.parameters()):,} parameters, "
        f"seed {SEED}, median of {ROUNDS}",
        ("seconds", "ratio", "MB for backward", "ratio"),
        {
            f"{share:.0%} kept": (
                f"{took[str(share)]:.3f}",
                f"{took[str(share)] / whole:.2f}",
                f"{held[share] / 1e6:.1f}",
                f"{held[share] / most:.2f}",
            )
            for share in SHARES
        },
    )


def _held(loop: Loop, sampled: Sampled, batch: Rollouts) -> int:
    """Bytes of the distinct tensors that the forward passes keep for the backward."""
    seen: dict[int, int] = {}

    def keep(x: Tensor) -> Tensor:
        seen[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        loop.step(sampled, batch)
    return sum(seen.values())

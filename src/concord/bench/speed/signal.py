"""From string ids and rewards to advantages: Concord, a loop over groups, verl's own functions where installed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import torch
from torch import Tensor

from concord.bench.speed.table import SpeedTable, in_turn, medians
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.methods import Method, gd2po, gdpo, grpo

GROUP, TAU, SEED, ROUNDS, LONGEST = 8, 0.8, 0, 7, 64
SIZES = ((512, 2), (512, 8), (8192, 2), (8192, 8))


@dataclass(frozen=True)
class Scored:
    """Rollouts in random order, as a balanced batch has them: ``[N, K]`` rewards, ``[N]`` lengths, N ids."""

    rewards: Tensor
    lengths: Tensor
    ids: list[str]

    @classmethod
    def draw(cls, count: int, kinds: int) -> Scored:
        generator = torch.Generator().manual_seed(SEED)
        ids = [f"prompt-{n // GROUP:05d}" for n in range(count)]
        random.Random(SEED).shuffle(ids)
        rewards = torch.rand(count, kinds, generator=generator)
        return cls(rewards, torch.randint(1, LONGEST, (count,), generator=generator), ids)

    @property
    def batch(self) -> Rollouts:
        names = tuple(f"r{k}" for k in range(self.rewards.shape[1]))
        return Rollouts(self.rewards, Groups.of(self.ids), names, {"lengths": self.lengths})


def loop_over_groups(scored: Scored) -> Tensor:
    """GD2PO's advantages as a loop, in the way engines write it: ``[N]``."""
    members: dict[str, list[int]] = {}
    for n, key in enumerate(scored.ids):
        members.setdefault(key, []).append(n)
    total, keep = torch.zeros(len(scored.ids)), torch.ones(len(scored.ids), dtype=torch.bool)
    for rows in members.values():
        z = torch.stack([(r - r.mean()) / (r.std() + 1e-6) for r in scored.rewards[rows].T], dim=1)
        mixed = (z > 1e-8).any(1) & (z < -1e-8).any(1)
        kept = ~(mixed & (z.sum(1).abs() / (z.abs().sum(1) + 1e-8) < TAU))
        total[rows], keep[rows] = z.sum(1) * kept.float().mean(), kept
    weight = keep * scored.lengths
    mean = (weight * total).sum() / weight.sum()
    variance = (weight * (total - mean).square()).sum() / (weight.sum() - 1)
    return torch.where(keep, (total - mean) * (variance + 1e-8).rsqrt(), 0.0)


def signal_table() -> SpeedTable:
    """Milliseconds by program and batch size; Concord's GD2PO and the loop are first checked to agree to 1e-4."""
    rows: dict[str, list[str]] = {}
    for count, kinds in SIZES:
        scored = Scored.draw(count, kinds)
        torch.testing.assert_close(
            gd2po(tau=TAU).signal(scored.batch).advantages, loop_over_groups(scored), rtol=1e-4, atol=1e-4
        )
        for name, seconds in medians(in_turn(dict(_programs(scored)), ROUNDS)).items():
            rows.setdefault(name, []).append(f"{1e3 * seconds:.1f} ms")
    return SpeedTable(
        f"Advantages, groups of {GROUP} in random order, seed {SEED}, median of {ROUNDS}",
        tuple(f"N={count} K={kinds}" for count, kinds in SIZES),
        {name: tuple(cells) for name, cells in rows.items()},
        "" if _verl() else "verl is not installed here; its own functions are left out",
    )


def _programs(scored: Scored) -> Iterator[tuple[str, Callable[[], object]]]:
    for build in (grpo, gdpo, gd2po):
        yield f"Concord {build.__name__}", partial(_advantages, build, scored)
    yield "a loop over groups, gd2po", lambda: loop_over_groups(scored)
    if _verl():
        from concord.engines.verl.side_by_side import grpo as theirs

        yield "verl grpo", theirs(scored.rewards.sum(1), scored.lengths, scored.ids)


def _advantages(build: Callable[[], Method], scored: Scored) -> Tensor:
    return build().signal(scored.batch).advantages


def _verl() -> bool:
    return find_spec("verl") is not None

"""How often a sign is float residue: masks by the authors' dead zone and here, against exact fractions.

    python benchmarks/residue.py

GD2PO-hard drops a rollout that one reward pushes up and another down. A rollout that sits exactly on its group's mean
is pushed nowhere; whether that shows depends on the arithmetic. Scores are drawn from small fractions, groups of G with
two rewards; the truth is computed with ``fractions.Fraction``. "dead zone 1e-8" is the authors' rule on standardised
values, ``(r - mean) / (std + 1e-6)``, in the type of the scores.
"""

from __future__ import annotations

import platform
import random
from fractions import Fraction

import torch
from torch import Tensor

from concord import Groups, Rollouts, create

SEED, GROUPS, SIZES = 0, 2000, (3, 5, 8)
SCORES = {"tenths": 10, "fifths": 5, "thirds": 3, "sevenths": 7}


def exactly_mixed(scores: list[list[Fraction]]) -> list[bool]:
    """Whether one reward is above its group's mean and the other below, for each rollout of a group."""
    means = [sum(column) / len(column) for column in zip(*scores, strict=True)]
    signs = [[(x > mean) - (x < mean) for x, mean in zip(row, means, strict=True)] for row in scores]
    return [1 in row and -1 in row for row in signs]


def by_dead_zone(block: Tensor) -> Tensor:
    """``[P, G, K] -> [P, G]`` bool: the authors' rule."""
    z = (block - block.mean(1, keepdim=True)) / (block.std(1, keepdim=True) + 1e-6)
    return (z > 1e-8).any(2) & (z < -1e-8).any(2)


def here(block: Tensor) -> Tensor:
    """``[P, G, K] -> [P, G]`` bool: what ``gd2po_hard`` drops."""
    count, size, kinds = block.shape
    rollouts = Rollouts(block.reshape(-1, kinds), Groups.uniform(count, size), [f"r{k}" for k in range(kinds)])
    return ~create("gd2po_hard", numerics="trl").signal(rollouts).keep.view(count, size)


def main() -> None:
    torch.set_num_threads(1)
    print(f"{GROUPS} groups for each row, two rewards, seed {SEED}, torch {torch.__version__}, {platform.machine()}")
    print("share of rollouts that are dropped without a conflict, or kept with one")
    columns = ("in conflict", "dead zone 1e-8", "as doubles", "here", "as doubles")
    print(f"{'scores':10s}{'G':>3s}" + "".join(f"{column:>15s}" for column in columns))
    rng = random.Random(SEED)
    for name, parts in SCORES.items():
        for size in SIZES:
            drawn = [
                [[Fraction(rng.randint(0, parts), parts) for _ in "ab"] for _ in range(size)] for _ in range(GROUPS)
            ]
            truth = torch.tensor([exactly_mixed(group) for group in drawn])
            single = torch.tensor([[[float(x) for x in row] for row in group] for group in drawn])
            rules = (by_dead_zone(single), by_dead_zone(single.double()), here(single), here(single.double()))
            wrong = [float((found != truth).float().mean()) for found in rules]
            shares = [f"{truth.float().mean():.1%}", *(f"{share:.2%}" for share in wrong)]
            print(f"{name:10s}{size:3d}" + "".join(f"{share:>15s}" for share in shares))


if __name__ == "__main__":
    main()

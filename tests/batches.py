"""Batches of every shape, for tests."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from concord import Groups, Rollouts

LONGEST = 50


def _contrastive_loss(rng: torch.Generator, n: int, dtype: torch.dtype) -> Tensor:
    """For half of the rollouts, as if they were the anchors of a contrastive learner."""
    anchor = torch.rand(n, generator=rng) < 0.5
    loss = 4 * torch.rand(n, generator=rng, dtype=dtype)
    return torch.where(anchor, loss, torch.nan)


COLUMNS: Mapping[str, Callable[[torch.Generator, int, torch.dtype], Tensor]] = {
    "lengths": lambda rng, n, dtype: torch.randint(1, LONGEST, (n,), generator=rng),
    "contrastive_loss": _contrastive_loss,
    "token_scores": lambda rng, n, dtype: torch.randn(n, LONGEST, generator=rng, dtype=dtype),
    "answers": lambda rng, n, dtype: torch.randint(0, 3, (n,), generator=rng),
    "old_logp": lambda rng, n, dtype: -torch.rand(n, LONGEST, generator=rng, dtype=dtype),
    "tempered_logp": lambda rng, n, dtype: -torch.rand(n, LONGEST, generator=rng, dtype=dtype),
    "values": lambda rng, n, dtype: torch.randn(n, LONGEST, generator=rng, dtype=dtype),
    "turn_rewards": lambda rng, n, dtype: torch.rand(n, LONGEST, generator=rng, dtype=dtype).round(),
    "trajectory": lambda rng, n, dtype: torch.randint(0, 3, (n,), generator=rng),
    "turn": lambda rng, n, dtype: torch.randperm(n, generator=rng),
    "tag": lambda rng, n, dtype: torch.randint(0, 3, (n,), generator=rng),
    "answer_logp": lambda rng, n, dtype: -torch.rand(n, 2, generator=rng, dtype=dtype),
    "similarity": lambda rng, n, dtype: 2 * torch.rand(n, generator=rng, dtype=dtype) - 1,
    "demo_reward": lambda rng, n, dtype: torch.rand(n, generator=rng, dtype=dtype),
    "old_mean_logp": lambda rng, n, dtype: -3 - torch.rand(n, LONGEST, generator=rng, dtype=dtype),
    "ratio_variance": lambda rng, n, dtype: torch.full((n,), 0.02, dtype=dtype),
}
"""Facts that methods ask for; a new entry goes to the end, so that what others draw stays the same."""


def make_columns(rng: torch.Generator, n: int, dtype: torch.dtype) -> dict[str, Tensor]:
    columns = {name: draw(rng, n, dtype) for name, draw in COLUMNS.items()}
    columns["response_mask"] = torch.arange(LONGEST) < columns["lengths"][:, None]
    return columns


def make_batch(
    seed: int = 0,
    sizes: Sequence[int] = (4, 3, 5, 4),
    rewards: int = 3,
    dtype: torch.dtype = torch.float64,
    missing: float = 0.0,
    shuffle: bool = True,
) -> tuple[Rollouts, list[int]]:
    """Ragged, interleaved groups; a mix of binary and continuous rewards, some of them missing."""
    generator = torch.Generator().manual_seed(seed)
    n = sum(sizes)
    scores = torch.rand(n, rewards, generator=generator, dtype=dtype) * 4 - 1
    scores[:, 0] = (scores[:, 0] > 0.5).to(dtype)
    scores[torch.rand(n, rewards, generator=generator) < missing] = torch.nan
    ids = [p for p, size in enumerate(sizes) for _ in range(size)]
    if shuffle:
        random.Random(seed).shuffle(ids)
    columns = make_columns(generator, n, dtype)
    return Rollouts(scores, Groups.of(ids), tuple(f"r{k}" for k in range(rewards)), columns), ids


def reorder(batch: Rollouts, ids: Sequence[int], order: torch.Tensor) -> Rollouts:
    """The same rollouts in another order."""
    groups = Groups.of([ids[i] for i in order.tolist()])
    return Rollouts(batch.rewards[order], groups, batch.names, {k: v[order] for k, v in batch.columns.items()})

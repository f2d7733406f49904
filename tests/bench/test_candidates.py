"""Each candidate against loops over plain floats, and where it must be GDPO."""

from __future__ import annotations

import math

import pytest
import torch

from concord import Rollouts
from concord.bench import candidates as c
from concord.core.signal import Signal
from concord.methods import gdpo
from tests.batches import make_batch


def start(batch: Rollouts) -> tuple[Signal, list[list[float]], list[list[int]]]:
    index = batch.groups.index.tolist()
    members = [[n for n, g in enumerate(index) if g == p] for p in range(max(index) + 1)]
    return Signal.start(batch), batch.rewards.tolist(), members


def dot(x: list[list[float]], rows: list[int], k: int, m: int) -> float:
    return math.fsum(x[n][k] * x[n][m] for n in rows)


def test_projection_equals_its_slow_twin_and_leaves_nothing_opposed_between_two() -> None:
    batch, _ = make_batch(3, (4, 3, 5, 4))
    signal, x, groups = start(batch)
    want = [row[:] for row in x]
    for rows in groups:
        for k in range(3):
            for m in range(3):
                product = dot(x, rows, k, m)
                if m != k and product < 0:
                    for n in rows:
                        want[n][k] -= product / dot(x, rows, m, m) * x[n][m]
    got = c.ProjectConflicts().apply(signal, batch).values
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64))
    assert not torch.equal(got, signal.values)
    both, _ = make_batch(5, (6, 6), rewards=2)
    opposed = Rollouts(torch.stack([both.rewards[:, 0], -both.rewards[:, 0]], 1), both.groups, ("a", "b"))
    assert c.ProjectConflicts().apply(Signal.start(opposed), opposed).values.abs().max() < 1e-7


def test_consensus_of_groups_equals_its_slow_twin() -> None:
    batch, _ = make_batch(4)
    signal, x, groups = start(batch)
    want = [row[:] for row in x]
    for rows in groups:
        joint = math.sqrt(math.fsum(math.fsum(x[n]) ** 2 for n in rows))
        factor = joint / math.fsum(math.sqrt(dot(x, rows, k, k)) for k in range(3))
        for n in rows:
            want[n] = [factor * value for value in x[n]]
    torch.testing.assert_close(
        c.WeighGroupsByConsensus().apply(signal, batch).values, torch.tensor(want, dtype=torch.float64)
    )


def test_noise_floor_equals_its_slow_twin() -> None:
    batch, _ = make_batch(6)
    signal, x, groups = start(batch)
    std = [
        [torch.tensor([x[n][k] for n in rows], dtype=torch.float64).std().item() for k in range(3)] for rows in groups
    ]
    usual = [math.fsum(s[k] ** 2 for s in std) / len(std) for k in range(3)]
    want = [row[:] for row in x]
    for rows, s in zip(groups, std, strict=True):
        for n in rows:
            for k in range(3):
                mean = math.fsum(x[m][k] for m in rows) / len(rows)
                want[n][k] = (x[n][k] - mean) / math.sqrt(s[k] ** 2 + usual[k])
    torch.testing.assert_close(
        c.NormalizeAboveNoise().apply(signal, batch).values, torch.tensor(want, dtype=torch.float64)
    )


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_the_lowest_consensus_goes_first_and_only_where_signs_differ(share: float) -> None:
    batch, _ = make_batch(7, (8, 8, 8))
    signal = Signal.start(batch)
    keep = c.MaskLowestConsensus(share).apply(signal, batch).keep
    mixed = (batch.rewards > 0).any(1) & (batch.rewards < 0).any(1)
    assert (~keep).sum() == min(math.ceil(share * 24), int(mixed.sum()))
    assert mixed[~keep].all()
    score = batch.rewards.sum(1).abs() / batch.rewards.abs().sum(1)
    if share and (kept := mixed & keep).any():
        assert score[~keep].max() <= score[kept].min()


def test_progress_weighs_what_has_gained_least() -> None:
    batch, _ = make_batch(8)
    method = c.progress()
    first = method.signal(batch)
    torch.testing.assert_close(first.advantages, gdpo().signal(batch).advantages)
    moved = Rollouts(batch.rewards + torch.tensor([5.0, 0, 0]), batch.groups, batch.names, batch.columns)
    without = Rollouts(batch.rewards[:, 1:], batch.groups, batch.names[1:], batch.columns)
    late = method.signal(moved, first.state).advantages
    apart = (late - gdpo().signal(without).advantages).abs().max()
    assert apart < 0.1 * (first.advantages - gdpo().signal(without).advantages).abs().max()


@pytest.mark.parametrize("name", [n for n in c.CANDIDATES if n not in ("soft_mask_scaled", "noise_floor")])
def test_with_one_reward_a_candidate_is_gdpo(name: str) -> None:
    batch, _ = make_batch(9, rewards=1)
    torch.testing.assert_close(c.CANDIDATES[name]().signal(batch).advantages, gdpo().signal(batch).advantages)


@pytest.mark.parametrize("name", list(c.CANDIDATES))
def test_candidates_meet_missing_scores_and_silence(name: str) -> None:
    batch, _ = make_batch(10, missing=0.3)
    method = c.CANDIDATES[name]()
    assert method.signal(batch).advantages.isfinite().all()
    flat = Rollouts(torch.full((16, 3), 0.7), batch.groups, batch.names, batch.columns)
    assert (method.signal(flat).advantages == 0).all()

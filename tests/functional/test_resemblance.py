"""GRACE's terms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from concord import Groups
from concord.core.errors import BatchError
from concord.functional.resemblance import resemblance


def at(*degrees: float) -> Tensor:
    """Vectors of length 1 in the plane."""
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees], dtype=torch.float64)


# Printed by GasolSun36/GRACE@f636fdc, verl/workers/reward_manager/grace.py, on these angles, temperature 0.1.
QUERY, POSITIVE, NEGATIVE = at(0, 5, 90, 100), at(10, 40, 80, 130), at(60, 70, 30, 20)
AUTHORS = {
    "positive": [9.848078, 8.191521, 9.848078, 8.660254],
    "negative": [-5, -5, -5, -5],
    "cluster": [8.660254, 8.660254, 6.427876, 6.427876],
    "cross": [-1.736482, -2.588191, -6.427876, -5.0],
}


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1]])
def test_the_terms_and_the_total_are_the_authors(order: list[int]) -> None:
    groups = Groups.of([i // 2 for i in order])
    # Each vector's length is no part of it.
    terms = resemblance(3 * QUERY[order], POSITIVE[order], 0.5 * NEGATIVE[order], groups)
    for name, values in AUTHORS.items():
        expected = torch.tensor(values, dtype=torch.float64)[order]
        torch.testing.assert_close(getattr(terms, name), expected, rtol=0, atol=1e-6)
    total = torch.tensor([6.232832, 4.405933, 4.848077, 3.945829], dtype=torch.float64)[order]
    torch.testing.assert_close(terms.total(), total, rtol=0, atol=2e-6)


def test_ragged_groups_are_those_of_loops() -> None:
    ids = [0, 1, 0, 2, 1, 0]
    rng = torch.Generator().manual_seed(1)
    q, p, h = (torch.randn(6, 3, generator=rng, dtype=torch.float64) for _ in range(3))
    terms = resemblance(q, p, h, Groups.of(ids), temperature=0.5)

    def cos(a: Tensor, b: Tensor) -> float:
        return torch.cosine_similarity(a, b, dim=0).item() / 0.5

    for n, g in enumerate(ids):
        mates = [m for m in range(6) if ids[m] == g and m != n]
        assert terms.negative[n] == pytest.approx(-cos(q[ids.index(g)], h[ids.index(g)]))
        assert terms.cluster[n] == pytest.approx(sum(cos(p[n], p[m]) for m in mates) / max(1, len(mates)))
        nearest = [max(cos(q[n], p[m]) for m in range(6) if ids[m] == j) for j in {*ids} - {g}]
        assert terms.cross[n] == pytest.approx(-sum(nearest) / len(nearest))


def test_a_lone_rollout_of_a_lone_prompt_has_neither_cluster_nor_cross() -> None:
    terms = resemblance(QUERY[:1], POSITIVE[:1], NEGATIVE[:1], Groups.uniform(1, 1))
    assert terms.cluster.tolist() == pytest.approx([0], abs=1e-9)
    assert terms.cross.tolist() == [0]


def test_zeros_resemble_nothing_and_an_empty_batch_is_empty() -> None:
    nothing = torch.zeros_like(QUERY)
    terms = resemblance(nothing, POSITIVE, nothing, Groups.uniform(2, 2))
    assert (terms.positive == 0).all()
    assert (terms.negative == 0).all()
    assert len(resemblance(QUERY[:0], QUERY[:0], QUERY[:0], Groups.uniform(0, 1)).total()) == 0


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BatchError, match=r"\[4, H\] each"):
        resemblance(QUERY[:3], POSITIVE, NEGATIVE, Groups.uniform(2, 2))

"""Correlations against numpy, and where there is nothing to correlate."""

from __future__ import annotations

import math

import numpy
import pytest
import torch
from torch import Tensor

from concord.core.errors import BatchError
from concord.functional.correlation import pearson, ranks, spearman


def test_pearson_is_numpys() -> None:
    x, y = torch.randn(50, dtype=torch.float64), torch.randn(50, dtype=torch.float64)
    y += 0.5 * x
    assert float(pearson(x, y)) == pytest.approx(numpy.corrcoef(x, y)[0, 1])


def test_its_gradient() -> None:
    y = torch.randn(8, dtype=torch.float64)
    x = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: pearson(z, y).square(), (x,))


@pytest.mark.parametrize(("shift", "scale"), [(0, 1e-30), (1e4, 1.0), (0, 1e30)])
def test_neither_scale_nor_shift_matters(shift: float, scale: float) -> None:
    x, y = torch.arange(9.0), torch.tensor([1.0, 3, 2, 5, 4, 7, 6, 9, 8])
    assert float(pearson(scale * x + shift, y)) == pytest.approx(float(pearson(x, y)), abs=1e-5)


@pytest.mark.parametrize("x", [torch.full((5,), 0.1), torch.zeros(5), torch.tensor([1.0]), torch.tensor([])])
def test_where_one_is_constant_there_is_exactly_none(x: Tensor) -> None:
    x = x.clone().requires_grad_()
    y = torch.arange(float(len(x)), requires_grad=True)
    found = pearson(x, y)
    found.backward()
    assert float(found.detach()) == 0
    assert torch.equal(x.grad, torch.zeros(len(x)))  # type: ignore[arg-type]
    assert torch.equal(y.grad, torch.zeros(len(x)))  # type: ignore[arg-type]


def test_spearman_sees_order_only_and_ties_share_a_rank() -> None:
    x = torch.tensor([3.0, 1.0, 2.0, 2.0])
    assert ranks(x).tolist() == [3.0, 0.0, 1.5, 1.5]
    y = torch.randn(40)
    assert float(spearman(y.exp(), -y.pow(3))) == pytest.approx(-1)
    assert float(spearman(x, torch.zeros(4))) == 0


def test_lengths_must_fit() -> None:
    with pytest.raises(BatchError, match="one length"):
        pearson(torch.zeros(2), torch.zeros(3))
    assert math.isfinite(float(pearson(torch.tensor([1.0, 1.0 + 2**-23]), torch.tensor([0.0, 1.0]))))

"""One vector from a response's states, whatever stands in the padding."""

from __future__ import annotations

import pytest
import torch

from concord.functional.pooling import POOLS, decoded_pool, mean_pool

LENGTHS = [4, 1, 0, 3, 2]


def states() -> torch.Tensor:
    return torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def masks(left: bool) -> torch.Tensor:
    mask = torch.arange(4) < torch.tensor(LENGTHS)[:, None]
    return mask.flip(1) if left else mask


@pytest.mark.parametrize("left", [False, True])
def test_the_mean_and_the_authors_sum_over_all_but_the_last(left: bool) -> None:
    h, mask = states(), masks(left)
    for n, length in enumerate(LENGTHS):
        there = h[n][mask[n]].float()
        zero = torch.zeros(3)
        torch.testing.assert_close(mean_pool(h, mask)[n], there.mean(0) if length else zero)
        torch.testing.assert_close(decoded_pool(h, mask)[n], there[:-1].sum(0) / length if length else zero)


@pytest.mark.parametrize("pool", POOLS.values())
def test_padding_may_hold_anything_and_half_precision_is_summed_in_full(pool: object) -> None:
    h, mask = states(), masks(False)
    hostile = torch.where(mask[..., None], h, torch.nan)
    torch.testing.assert_close(pool(hostile, mask), pool(h, mask))  # type: ignore[operator]
    long = torch.full((1, 5000, 1), 1.0, dtype=torch.bfloat16)
    pooled = pool(long, torch.ones(1, 5000, dtype=torch.bool))  # type: ignore[operator]
    assert pooled.dtype is torch.float32
    assert pooled.item() == pytest.approx(1, abs=1e-3)


def test_a_hole_in_a_response_is_left_out() -> None:
    """Tokens of a tool between those of the policy."""
    mask = torch.tensor([[True, False, True, True]])
    h = torch.tensor([[[1.0], [100.0], [2.0], [6.0]]])
    assert mean_pool(h, mask).item() == 3
    assert decoded_pool(h, mask).item() == 1

"""Rewards for tokens."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.functional.token_reward import dpo_token_reward, rto_reward


def slow(rewards: Tensor, logp: Tensor, dpo: Tensor, ref: Tensor, mask: Tensor) -> list[list[float]]:
    """With the defaults."""
    out = []
    for n, row in enumerate(mask.tolist()):
        last = max((t for t, there in enumerate(row) if there), default=None)
        out.append([])
        for t, there in enumerate(row):
            token = min(max(0.05 * (dpo[n, t] - ref[n, t]).item(), -0.05), 0.05)
            penalty = 0.01 * (logp[n, t] - ref[n, t]).item()
            terminal = min(max(rewards[n].item(), -10.0), 10.0) if t == last else 0.0
            out[n].append(token - penalty + terminal if there else 0.0)
    return out


def made(*rows: list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor(rows).bool()
    logps = [-3 * torch.rand(mask.shape, generator=generator, dtype=torch.float64) for _ in range(3)]
    return 12 * torch.randn(len(rows), generator=generator, dtype=torch.float64), *logps, mask


def test_every_token_has_the_slow_loops_reward() -> None:
    given = made([1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 1])
    torch.testing.assert_close(rto_reward(*given), torch.tensor(slow(*given), dtype=torch.float64))


def test_what_lies_off_the_mask_does_not_matter() -> None:
    rewards, logp, dpo, ref, mask = made([1, 1, 0], [1, 0, 0])
    clean = rto_reward(rewards, logp, dpo, ref, mask)
    hostile = [torch.where(mask, x, y) for x, y in ((logp, math.nan), (dpo, math.inf), (ref, -math.inf))]
    assert torch.equal(rto_reward(rewards, *hostile, mask), clean)


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf])
def test_a_response_without_a_score_keeps_its_tokens_rewards(score: float) -> None:
    rewards, *logps, mask = made([1, 1, 1], [1, 1, 0])
    holed = rto_reward(torch.tensor([score, 1.0], dtype=torch.float64), *logps, mask)
    assert torch.equal(holed[0], rto_reward(torch.zeros_like(rewards), *logps, mask)[0])


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda r, p, d, q, m: dpo_token_reward(d, q, m, scale=0.0), ConfigError, "scale and bound must be positive"),
        (lambda r, p, d, q, m: dpo_token_reward(d, q, m, bound=0.0), ConfigError, "bound=None is for none"),
        (lambda r, p, d, q, m: rto_reward(r, p, d, q, m, kl=-1.0), ConfigError, "kl must not be negative, got -1.0"),
        (lambda r, p, d, q, m: rto_reward(r[:1], p, d, q, m), BatchError, r"rewards must be \[2\], one a response"),
        (
            lambda r, p, d, q, m: rto_reward(r, p, d[:, :1], q, m),
            BatchError,
            r"dpo_logp must be \(2, 3\) like the mask",
        ),
        (lambda r, p, d, q, m: dpo_token_reward(d, q, m.long()), BatchError, "mask must be bool"),
    ],
)
def test_what_does_not_fit_is_refused(call: Callable[..., Tensor], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call(*made([1, 1, 1], [1, 1, 0]))

"""Two clips mixed by the policy's entropy, token by token: value and gradient against slow loops."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from concord.core.errors import BatchError
from concord.objectives import Clip, EntropyHybridClip, HybridClip, PolicyBatch, PolicyObjective
from tests.objectives.differences import assert_gradient, gradient

TOKEN, SEQUENCE = Clip(0.2, 0.28), Clip(0.05, 0.1)
GUIDED = PolicyObjective(surrogate=EntropyHybridClip(TOKEN, SEQUENCE))


def make(seed: int = 0, rows: int = 6, width: int = 7) -> PolicyBatch:
    g = torch.Generator().manual_seed(seed)

    def noise() -> torch.Tensor:
        return torch.randn(rows, width, generator=g, dtype=torch.float64)

    logp = -noise().abs()
    return PolicyBatch(
        logp=logp.requires_grad_(),
        old_logp=logp.detach() + 0.4 * noise(),
        advantages=noise()[:, 0],
        mask=torch.arange(width) < torch.randint(1, width + 1, (rows,), generator=g)[:, None],
        entropy=noise().abs(),
    )


def clipped(ratio: float, a: float, low: float, high: float) -> float:
    return -min(ratio * a, min(max(ratio, 1 - low), 1 + high) * a)


def slow(batch: PolicyBatch) -> float:
    assert batch.entropy is not None
    total = 0.0
    for i, row in enumerate(batch.mask.tolist()):
        steps, a = [t for t, on in enumerate(row) if on], batch.advantages[i].item()
        logs = {t: (batch.logp[i, t] - batch.old_logp[i, t]).item() for t in steps}
        sequence = clipped(math.exp(sum(logs.values()) / len(steps)), a, 0.05, 0.1)
        highest = max(batch.entropy[i, t].item() for t in steps)
        for t in steps:
            w = batch.entropy[i, t].item() / highest
            total += (w * clipped(math.exp(logs[t]), a, 0.2, 0.28) + (1 - w) * sequence) / len(steps) / len(batch.mask)
    return total


@pytest.mark.parametrize("seed", range(4))
def test_value(seed: int) -> None:
    batch = make(seed)
    assert GUIDED(batch).loss.item() == pytest.approx(slow(batch), rel=1e-12)


def test_gradient_is_that_of_the_slow_loss() -> None:
    batch = make(3)
    assert_gradient(GUIDED, batch, lambda logp: slow(dataclasses.replace(batch, logp=logp)))


@pytest.mark.parametrize(("entropy", "weight"), [(1.3, 1.0), (1e-9, 1.0), (0.0, 0.0), (-1e-8, 0.0)])
def test_where_all_tokens_are_as_undecided_it_is_one_of_the_two(entropy: float, weight: float) -> None:
    batch = make(1)
    batch = dataclasses.replace(batch, entropy=torch.full_like(batch.logp, entropy).detach())
    same = PolicyObjective(surrogate=HybridClip(TOKEN, SEQUENCE, weight))
    torch.testing.assert_close(GUIDED(batch).loss, same(batch).loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient(GUIDED, batch), gradient(same, batch), rtol=1e-12, atol=1e-15)


def test_the_weight_has_no_scale_and_no_gradient() -> None:
    batch = make(2)
    assert batch.entropy is not None
    entropy = (batch.entropy * torch.arange(1, 7).double()[:, None]).requires_grad_()
    loss = GUIDED(dataclasses.replace(batch, entropy=entropy)).loss
    torch.testing.assert_close(loss, GUIDED(batch).loss, rtol=1e-12, atol=0)
    assert torch.autograd.grad(loss, entropy, allow_unused=True) == (None,)


def test_what_is_off_the_mask_cannot_poison_the_loss() -> None:
    batch = make(4)
    assert batch.entropy is not None
    logp, entropy = batch.logp.detach().clone(), batch.entropy.clone()
    logp[~batch.mask], entropy[~batch.mask] = -torch.inf, torch.nan
    broken = dataclasses.replace(batch, logp=logp.requires_grad_(), entropy=entropy)
    assert GUIDED(broken).loss.item() == GUIDED(batch).loss.item()
    torch.testing.assert_close(gradient(GUIDED, broken)[batch.mask], gradient(GUIDED, batch)[batch.mask])


def test_an_outlier_in_one_part_leaves_the_other() -> None:
    """Half undecided, the first token's ratio ran off: its response's part, below its own clip, still pushes it up."""
    logp = torch.tensor([[2.0, -1.5, -1.5]], dtype=torch.float64, requires_grad=True)
    entropy = torch.tensor([[0.3, 0.6, 0.6]], dtype=torch.float64)
    batch = PolicyBatch(
        logp, torch.zeros(1, 3).double(), torch.ones(1).double(), torch.ones(1, 3).bool(), entropy=entropy
    )
    # The response's ratio has weight 1/2 at the first token and 0 at the others; each token is a third of its log.
    assert gradient(GUIDED, batch)[0, 0].item() == pytest.approx(-0.5 * math.exp(-1 / 3) / 9)


def test_it_says_that_it_reads_the_entropy() -> None:
    assert GUIDED.statistics == {"entropy"}
    assert not GUIDED.every_row
    with pytest.raises(BatchError, match="reads the policy's entropy"):
        GUIDED(dataclasses.replace(make(), entropy=None))


def test_a_token_counts_as_clipped_where_both_parts_are() -> None:
    """Token ratios 1.5 and 1: the first is clipped; the response's, their geometric mean, is beyond 1.1."""
    logp = torch.tensor([[1.5, 1.0]]).log()
    batch = PolicyBatch(logp, torch.zeros(1, 2), torch.tensor([1.0]), torch.ones(1, 2, dtype=torch.bool),
                        entropy=torch.ones(1, 2))  # fmt: skip
    shares = []
    for high in (0.1, 0.5):
        surrogate = EntropyHybridClip(Clip(0.2, 0.2), Clip(0.1, high))
        shares.append(PolicyObjective(surrogate=surrogate)(batch).metrics["clipped"].value().item())
    assert shares == [0.5, 0.0]

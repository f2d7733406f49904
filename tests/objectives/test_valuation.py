"""The log ratio as a value: the loss against slow loops, its target against sums over the whole vocabulary."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.objectives import PolicyBatch, PolicyObjective, RandomPolicyValue, TokenMean, Totals
from tests.objectives.differences import assert_gradient, gradient

VALUE = PolicyObjective(surrogate=RandomPolicyValue(0.7, 0.9), reduce=TokenMean())


def make(seed: int = 0, rows: int = 6, width: int = 7) -> PolicyBatch:
    """With tokens in the middle of a response that the policy did not sample."""
    g = torch.Generator().manual_seed(seed)

    def noise() -> torch.Tensor:
        return torch.randn(rows, width, generator=g, dtype=torch.float64)

    logp, mean_logp = -noise().abs(), -3 - noise().abs()
    mask = torch.arange(width) < torch.randint(1, width + 1, (rows,), generator=g)[:, None]
    return PolicyBatch(
        logp=logp.requires_grad_(),
        old_logp=logp.detach() + 0.4 * noise(),
        advantages=noise()[:, 0],
        mask=mask & (torch.rand(rows, width, generator=g) > 0.2),
        columns={"old_mean_logp": mean_logp + 0.3 * noise()},
        mean_logp=mean_logp,
    )


def slow(batch: PolicyBatch, rho: float = 0.7, bootstrap: float = 0.9) -> float:
    assert batch.mean_logp is not None
    total, on = 0.0, batch.mask.tolist()
    for i, row in enumerate(on):
        for t, here in enumerate(row):
            if not here:
                continue
            q, v = rho * (batch.logp[i, t] - batch.old_logp[i, t]).item(), 0.0
            if t + 1 < len(row) and row[t + 1]:
                v = rho * (batch.mean_logp[i, t + 1] - batch.columns["old_mean_logp"][i, t + 1]).item()
            total += (q - (batch.advantages[i].item() + bootstrap * v)) ** 2
    return total / sum(map(sum, on))


@pytest.mark.parametrize("seed", range(4))
def test_value(seed: int) -> None:
    batch = make(seed)
    loss, metrics = VALUE(batch)
    assert loss.item() == pytest.approx(slow(batch), rel=1e-12)
    assert metrics["clipped"].value() == 0


def test_gradient_is_that_of_the_slow_loss() -> None:
    """Central differences of the slow loop, at every position; its target stays where it is."""
    batch = make(3)
    assert_gradient(VALUE, batch, lambda logp: slow(dataclasses.replace(batch, logp=logp)))


def test_advantages_of_each_token_are_read_too() -> None:
    batch = make(4)
    wide = dataclasses.replace(batch, advantages=batch.advantages[:, None].expand_as(batch.logp))
    assert VALUE(wide).loss.item() == VALUE(batch).loss.item()


def test_what_is_off_the_mask_cannot_poison_the_loss() -> None:
    batch = make(5)
    assert batch.mean_logp is not None
    logp, old_mean = batch.logp.detach().clone(), batch.columns["old_mean_logp"].clone()
    logp[~batch.mask] = -torch.inf
    old_mean[~batch.mask] = torch.nan
    broken = dataclasses.replace(batch, logp=logp.requires_grad_(), columns={"old_mean_logp": old_mean})
    assert VALUE(broken).loss.item() == VALUE(batch).loss.item()
    torch.testing.assert_close(gradient(VALUE, broken)[batch.mask], gradient(VALUE, batch)[batch.mask])


def test_micro_batches_add_up_to_the_batch() -> None:
    batch, parts = make(6), 0.0
    assert batch.mean_logp is not None
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        part = PolicyBatch(
            batch.logp[rows], batch.old_logp[rows], batch.advantages[rows], batch.mask[rows],
            columns={"old_mean_logp": batch.columns["old_mean_logp"][rows]}, mean_logp=batch.mean_logp[rows],
        )  # fmt: skip
        parts += VALUE(part, Totals.of(batch.mask)).loss.item()
    assert parts == pytest.approx(VALUE(batch).loss.item(), rel=1e-12)


def test_no_gradient_flows_into_the_target() -> None:
    batch = make(7)
    assert batch.mean_logp is not None
    mean_logp = batch.mean_logp.requires_grad_()
    VALUE(batch).loss.backward()
    assert mean_logp.grad is None


def test_a_uniform_policy_has_minus_log_v_everywhere_and_the_value_is_the_distance_from_it() -> None:
    """Two tokens of five; sampled by the uniform policy: V = -rho KL(uniform || policy), of the second token."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.1, 0.0], dtype=torch.float64)
    uniform = torch.zeros(5, dtype=torch.float64).log_softmax(0)
    assert uniform.mean().item() == pytest.approx(-math.log(5))
    logp = logits.log_softmax(0)
    divergence = sum(0.2 * (u - p) for u, p in zip(uniform.tolist(), logp.tolist(), strict=True))
    batch = PolicyBatch(
        torch.stack([uniform[:2], logp[:2]], 1), uniform.mean().expand(2, 2), torch.tensor([0.4, -0.4]).double(),
        torch.ones(2, 2).bool(), columns={"old_mean_logp": uniform.mean().expand(2, 2)},
        mean_logp=torch.stack([uniform.mean(), logp.mean()]).expand(2, 2),
    )  # fmt: skip
    each, _ = RandomPolicyValue(2.0)(batch.logp, batch.advantages[:, None], batch)
    target = torch.tensor([0.4, -0.4]).double() - 2.0 * divergence
    torch.testing.assert_close(each[:, 0], target.square())  # the first token has not moved: Q = 0


def test_the_value_is_the_mean_of_q_over_the_vocabulary() -> None:
    """A response for each second token; the mean of what they are worth is what the first is drawn to."""
    g = torch.Generator().manual_seed(1)
    new, old = (torch.randn(5, generator=g, dtype=torch.float64).log_softmax(0) for _ in range(2))
    first = torch.zeros(5, dtype=torch.float64)
    batch = PolicyBatch(
        torch.stack([first, new], 1), torch.stack([first, old], 1), first, torch.ones(5, 2).bool(),
        columns={"old_mean_logp": old.mean().expand(5, 2)}, mean_logp=new.mean().expand(5, 2),
    )  # fmt: skip
    each, _ = RandomPolicyValue(1.5)(batch.logp, batch.advantages[:, None], batch)
    q = [1.5 * (n - o) for n, o in zip(new.tolist(), old.tolist(), strict=True)]
    assert each[:, 0].tolist() == pytest.approx([(sum(q) / 5) ** 2] * 5)
    assert each[:, 1].tolist() == pytest.approx([value**2 for value in q])


def test_the_log_ratio_comes_to_its_target_from_both_sides_however_far() -> None:
    """Advantage 0.5, no value behind the token: above it the slope is up, below down, and 30 nats away it is there."""
    logp = torch.tensor([[-30.0], [0.0], [0.5], [2.0]], dtype=torch.float64, requires_grad=True)
    zero, on = torch.zeros(4, 1).double(), torch.ones(4, 1).bool()
    batch = PolicyBatch(logp, zero, torch.full((4,), 0.5).double(), on, columns={"old_mean_logp": zero}, mean_logp=zero)
    slope = gradient(PolicyObjective(surrogate=RandomPolicyValue(), reduce=TokenMean()), batch)
    torch.testing.assert_close(slope, 2 * (logp.detach() - 0.5) / 4)


def test_a_rollout_of_advantage_0_has_a_gradient_once_the_policy_has_moved() -> None:
    batch = make(8)
    silent = dataclasses.replace(batch, advantages=torch.zeros_like(batch.advantages))
    assert VALUE.every_row
    assert (gradient(VALUE, silent)[batch.mask] != 0).all()


def test_what_is_missing_is_said() -> None:
    batch = make()
    with pytest.raises(MissingColumn, match=r"reads column 'old_mean_logp'; this batch carries \[\]"):
        VALUE(dataclasses.replace(batch, columns={}))
    with pytest.raises(BatchError, match="reads the policy's mean_logp"):
        VALUE(dataclasses.replace(batch, mean_logp=None))


@pytest.mark.parametrize("changes", [{"rho": 0.0}, {"rho": float("nan")}, {"bootstrap": -0.1}])
def test_parameters_outside_their_range(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        RandomPolicyValue(**changes)

"""Any method with HeRL's loss on revisions: what it is to the method alone."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from concord import Method, Outcome, Rollouts, create, names
from concord.core.errors import ConfigError, MissingColumn
from concord.methods import dapo, grpo, gspo, with_revisions
from concord.objectives import Kl, MixedPolicy, PolicyBatch, PolicyObjective, TokenMean, Totals
from tests.batches import LONGEST, make_batch

BASES = [
    name for name in names("*", "advantage", "loss") if isinstance(create(name).objective, PolicyObjective)
]  # fmt: skip


def policy_batch(outcome: Outcome, seed: int = 1) -> PolicyBatch:
    """Of another policy than the one that sampled, with all that a loss may read."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(outcome.keep), LONGEST)

    def drawn() -> Tensor:
        return -3 * torch.rand(shape, generator=generator, dtype=torch.float64)

    push = outcome.push
    return PolicyBatch(
        drawn().requires_grad_(),
        drawn(),
        push.advantages,
        torch.rand(shape, generator=generator) < 0.8,
        drawn(),
        columns=push.columns,
        entropy=-drawn(),
        mean_logp=drawn(),
    )


def learnt(method: Method, batch: Rollouts) -> tuple[Outcome, Tensor, Tensor]:
    """The outcome, the loss and its gradient."""
    outcome = method.signal(batch)
    made = policy_batch(outcome)
    loss = method.objective(made, Totals.of(made.mask)).loss
    return outcome, loss, torch.autograd.grad(loss, made.logp)[0]


def marked(revised: list[int]) -> Rollouts:
    batch, _ = make_batch()
    return batch.with_columns(revised=torch.tensor(revised))


@pytest.mark.parametrize("base", BASES)
def test_where_nothing_is_revised_it_is_the_method_to_the_bit(base: str) -> None:
    method = create(base)
    plain, loss, gradient = learnt(method, marked([0] * 16))
    mixed, its_loss, its_gradient = learnt(with_revisions(method), marked([0] * 16))
    assert torch.equal(mixed.advantages, plain.advantages)
    assert torch.equal(mixed.keep, plain.keep)
    assert torch.equal(its_loss, loss)
    assert torch.equal(its_gradient, gradient)
    assert gradient.any() or base == "brpo"  # it judges nothing here


@pytest.mark.parametrize("base", ["grpo", "dapo", "gd2po", "gbpo", "rover"])
@pytest.mark.parametrize("gamma", [0.0, 0.1, 1.0])
def test_a_revision_has_the_loss_of_the_paper_and_the_others_theirs(base: str, gamma: float) -> None:
    """Token by token: gradient -A gamma x / (x + gamma)^2 on revisions, the method's own elsewhere."""
    method = dataclasses.replace(
        create(base), objective=dataclasses.replace(create(base).objective, reduce=TokenMean())
    )
    revised = [int(n % 3 == 0) for n in range(16)]
    outcome, _, own = learnt(method, marked(revised))
    _, loss, gradient = learnt(with_revisions(method, gamma=gamma), marked(revised))
    made = policy_batch(outcome)
    tokens, total = int(made.mask.sum()), 0.0
    for n in range(16):
        for t in range(LONGEST):
            if not revised[n]:
                assert gradient[n, t] == own[n, t]
            elif made.mask[n, t]:
                x, A = math.exp((made.logp - made.old_logp)[n, t].item()), outcome.advantages[n].item()
                slope = gamma * x / (x + gamma) ** 2 if gamma else x
                assert gradient[n, t].item() == pytest.approx(-A * slope / tokens, abs=1e-12)
                total += -A * (x / (x + gamma) if gamma else x) / tokens
            else:
                assert gradient[n, t] == 0
    rest = dataclasses.replace(made, mask=made.mask & ~torch.tensor(revised, dtype=torch.bool)[:, None])
    total += method.objective(rest, Totals(tokens, 16)).loss.item()
    assert loss.item() == pytest.approx(total, abs=1e-9)


def test_grpos_surrogate_is_the_one_whose_numbers_are_the_authors() -> None:
    assert with_revisions(grpo(), gamma=0.1).objective.surrogate == MixedPolicy(0.1)  # type: ignore[attr-defined]


def test_what_the_method_is_beside_its_surrogate_stays() -> None:
    base = dataclasses.replace(dapo(), objective=dapo().objective.with_penalty(Kl(0.1)))
    made = with_revisions(base)
    assert made.signal.without("carry") == base.signal
    assert dataclasses.replace(made.objective, surrogate=base.objective.surrogate) == base.objective
    assert made.count_dropped is base.count_dropped is False
    assert made.needs == base.needs | {"revised"}


def test_a_response_of_one_ratio_has_one_as_a_revision() -> None:
    revised = [1] * 16
    outcome, _, gradient = learnt(with_revisions(gspo(), gamma=0.5), marked(revised))
    made = policy_batch(outcome)
    for n in range(16):
        mask = made.mask[n]
        x = (made.logp - made.old_logp)[n, mask].mean().exp().item()
        want = -outcome.advantages[n].item() * 0.5 * x / (x + 0.5) ** 2 / int(mask.sum()) / 16
        torch.testing.assert_close(gradient[n, mask], torch.full((int(mask.sum()),), want).double())


def test_a_chain_that_hands_columns_on_hands_on_one_more() -> None:
    made = with_revisions(create("rover"))
    assert made.signal.names == create("rover").signal.names
    assert made.objective.reads == {"old_mean_logp", "revised"}


@pytest.mark.parametrize("name", ["real", "copg"])
def test_a_loss_without_a_surrogate_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="no place; take a method whose loss is a PolicyObjective"):
        with_revisions(create(name))


def test_the_column_is_needed_and_gamma_is_not_negative() -> None:
    with pytest.raises(MissingColumn, match="'carry' needs columns"):
        with_revisions(grpo()).signal(make_batch()[0])
    with pytest.raises(ConfigError, match="gamma"):
        with_revisions(grpo(), gamma=-1.0)

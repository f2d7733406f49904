"""The contract of a preference loss; every registered one is here by itself."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import concord.objectives
from concord import create, info
from concord.core.catalogue import builder, names
from concord.core.errors import ConfigError
from concord.objectives import PairBatch, PreferenceObjective, Responses
from tests.objectives.pairs import make_pairs, take

METHODS = names("*", "preference")
each = pytest.mark.parametrize("name", METHODS)


@each
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_value_and_gradient_are_finite(name: str, dtype: torch.dtype) -> None:
    batch, *leaves = make_pairs(dtype=dtype)
    loss, metrics, _ = builder(name)()(batch)
    assert loss.shape == ()
    assert loss.isfinite()
    assert all(mean.value().isfinite() for mean in metrics.values())
    gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
    assert all(gradient.isfinite().all() for gradient in gradients)


@each
def test_a_step_from_the_reference_makes_the_chosen_likelier_and_the_rejected_less(name: str) -> None:
    batch, *leaves = make_pairs()
    at_reference = PairBatch(
        *(Responses(side.logp, side.lengths, side.logp.detach()) for side in (batch.chosen, batch.rejected)),
        {**batch.columns, "label": torch.ones(7)},
    )
    objective = builder(name)()
    up, down = torch.autograd.grad(objective(at_reference).loss, leaves, materialize_grads=True)
    assert (up < 0).all()
    assert (down > 0).all() if objective.loss.reads_rejected else (down == 0).all()


def mean(x: torch.Tensor) -> float:
    return x.mean().item()


# Where both responses are alike and the policy is its reference; p and n are log-probabilities and lengths.
START: dict[str, Callable[[torch.Tensor, torch.Tensor], float]] = {
    "dpo": lambda p, n: math.log(2),
    "cdpo": lambda p, n: math.log(2),
    "ipo": lambda p, n: 1 / (4 * 0.1**2),
    "ipo_sum": lambda p, n: 1 / (4 * 0.1**2),
    "rpo": lambda p, n: math.log(2) - 0.005 * 0.01 * mean(p),
    "rpo_mean": lambda p, n: math.log(2) - 0.2 * mean(p / n),
    "rpo_tokens": lambda p, n: math.log(2) - (p.sum() / n.sum()).item(),
    "dno": lambda p, n: math.log(2),
    "power_dl": lambda p, n: math.log(2) - 0.1 * 2.0 * mean(p / n),
    "sft_total_variation": lambda p, n: 0.0,
    "sft_chi_squared": lambda p, n: 0.0,
    "sft_hellinger": lambda p, n: 0.0,
}


@each
def test_the_value_at_the_start_is_known(name: str) -> None:
    batch, *_ = make_pairs()
    side = Responses(batch.chosen.logp, batch.chosen.lengths, batch.chosen.logp.detach())
    loss = builder(name)()(PairBatch(side, side, batch.columns)).loss
    assert loss.item() == pytest.approx(START[name](side.logp, side.lengths), abs=1e-12)


@each
def test_the_order_of_the_pairs_does_not_matter(name: str) -> None:
    batch, *_ = make_pairs()
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    objective = builder(name)()
    loss, metrics, labels = objective(batch)
    again, others, shuffled = objective(take(batch, order))
    torch.testing.assert_close(again, loss)
    for key, value in metrics.items():
        torch.testing.assert_close(others[key].value(), value.value())
    if labels is not None:
        assert torch.equal(shuffled, labels[order])


# rpo_tokens divides by the micro-batch's tokens, as TRL does.
@pytest.mark.parametrize("name", [name for name in METHODS if name != "rpo_tokens"])
def test_micro_batches_of_one_size_add_up_to_the_batch(name: str) -> None:
    batch, *_ = make_pairs(count=8)
    objective = builder(name)()
    parts = [objective(take(batch, rows)).loss for rows in torch.arange(8).chunk(4)]
    torch.testing.assert_close(torch.stack(parts).mean(), objective(batch).loss)


@each
def test_only_what_it_says_it_reads_is_read(name: str) -> None:
    batch, *_ = make_pairs()
    objective = builder(name)()
    columns = {column: batch.columns[column] for column in objective.reads}
    sides = [batch.chosen, batch.rejected]
    if not objective.needs_reference:
        sides = [Responses(side.logp, side.lengths) for side in sides]
    assert torch.equal(objective(PairBatch(*sides, columns)).loss, objective(batch).loss)
    assert (objective(batch).labels is not None) == ("label" in objective.reads)


@each
def test_runs_without_host_sync(name: str) -> None:
    batch, *_ = make_pairs()
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = mode.from_tensor
        sides = [
            Responses(fake(side.logp.detach()), fake(side.lengths), fake(side.ref_logp))
            for side in (batch.chosen, batch.rejected)
        ]
        builder(name)()(PairBatch(*sides, {column: fake(x) for column, x in batch.columns.items()}))


@each
def test_is_a_value(name: str) -> None:
    objective = builder(name)()
    assert isinstance(objective, PreferenceObjective)
    assert pickle.loads(pickle.dumps(objective)) == objective == builder(name)()
    assert hash(objective) == hash(builder(name)())
    assert eval(repr(objective), vars(concord.objectives).copy()) == objective


@each
def test_the_card_and_the_doors_are_a_preference_losss(name: str) -> None:
    card = info(name)
    assert card.title
    assert card.formula
    assert card.needs
    assert len(card.arxiv.split(".")) == 2
    with pytest.raises(ConfigError, match=f"'{name}' is a preference, not an advantage"):
        create(name)
    with pytest.raises(TypeError, match="bata"):
        builder(name)(bata=0.5)

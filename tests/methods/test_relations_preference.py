"""What one preference loss is to another."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from concord.core.catalogue import builder
from concord.functional.token_reward import dpo_token_reward
from concord.objectives import ChosenMeanNll, Logistic, LogRatio, PairBatch, PreferenceObjective, Responses
from tests.objectives.pairs import make_pairs


def loss(name: str, batch: PairBatch, **parameters: Any) -> torch.Tensor:
    return builder(name)(**parameters)(batch).loss


def of_one_length(batch: PairBatch, length: int) -> PairBatch:
    lengths = torch.full_like(batch.chosen.lengths, length)
    sides = [dataclasses.replace(side, lengths=lengths) for side in (batch.chosen, batch.rejected)]
    return PairBatch(*sides, batch.columns)


@pytest.fixture
def batch() -> PairBatch:
    return make_pairs(4)[0]


@pytest.mark.parametrize("beta", [0.05, 0.4])
def test_what_is_dpo_in_the_limit(batch: PairBatch, beta: float) -> None:
    dpo = loss("dpo", batch, beta=beta)
    assert torch.equal(loss("cdpo", batch, beta=beta, eps=0.0), dpo)
    assert torch.equal(loss("rpo", batch, beta=beta, eta=0.0), dpo)
    assert torch.equal(loss("rpo_mean", batch, beta=beta, coef=0.0), dpo)
    assert torch.equal(loss("rpo_tokens", batch, beta=beta, coef=0.0), dpo)


def test_conservative_dpo_is_the_mixture_of_dpo_and_dpo_the_other_way_round(batch: PairBatch) -> None:
    turned = loss("dpo", PairBatch(batch.rejected, batch.chosen))
    torch.testing.assert_close(loss("cdpo", batch, eps=0.2), 0.8 * loss("dpo", batch) + 0.2 * turned)


def test_dno_of_a_constant_gap_is_conservative_dpo(batch: PairBatch) -> None:
    gap = torch.tensor(0.8 / 0.2, dtype=torch.float64).log()
    columns = {"chosen_reward": gap.expand(7), "rejected_reward": torch.zeros(7)}
    torch.testing.assert_close(
        loss("dno", PairBatch(batch.chosen, batch.rejected, columns)), loss("cdpo", batch, eps=0.2)
    )


def test_the_three_rpos_agree_at_one_length(batch: PairBatch) -> None:
    alike = of_one_length(batch, 5)
    mean = loss("rpo_mean", alike, beta=0.3, coef=0.6)
    torch.testing.assert_close(loss("rpo_tokens", alike, beta=0.3, coef=0.6), mean)
    torch.testing.assert_close(loss("rpo", alike, beta=0.3, eta=0.6 / (0.3 * 5)), mean)
    apart = [loss(name, batch, beta=0.3, coef=0.6) for name in ("rpo_mean", "rpo_tokens")]
    assert abs(apart[0] - apart[1]) > 1e-3


def test_ipo_at_one_length_is_its_sum_in_nats_a_token(batch: PairBatch) -> None:
    alike = of_one_length(batch, 4)
    torch.testing.assert_close(loss("ipo", alike, beta=0.4), loss("ipo_sum", alike, beta=0.1) / 16)


def test_power_at_one_length_is_simpo_without_a_margin(batch: PairBatch) -> None:
    alike = of_one_length(batch, 5)
    first = PairBatch(alike.chosen, alike.rejected, {"label": torch.ones(7)})
    margin = 2.5 * (alike.chosen.logp - alike.rejected.logp) / 5
    expected = -torch.nn.functional.logsigmoid(margin).mean()
    torch.testing.assert_close(loss("power_dl", first, beta=2.5, eta=0.0), expected)


def test_power_offsets_a_short_response_by_the_inverse_of_its_length(batch: PairBatch) -> None:
    same = torch.full((7,), -4.0)
    chosen, rejected = Responses(same, torch.full((7,), 4)), Responses(2 * same, torch.full((7,), 8))
    margins = builder("power_dl")(beta=1.0)(PairBatch(chosen, rejected, {"label": torch.ones(7)})).metrics["margin"]
    assert margins.value().item() == pytest.approx(1 / 4 - 1 / 8)


@pytest.mark.parametrize("name", ["sft_total_variation", "sft_chi_squared", "sft_hellinger"])
def test_at_the_reference_imitation_is_fine_tuning(name: str) -> None:
    batch, chosen, _ = make_pairs()
    side = Responses(chosen, batch.chosen.lengths, chosen.detach())
    (gradient,) = torch.autograd.grad(loss(name, PairBatch(side, side)), chosen)
    nothing = PreferenceObjective(LogRatio(), Logistic(1e-9), (ChosenMeanNll(1.0),))
    (fine_tuning,) = torch.autograd.grad(nothing(PairBatch(side, side)).loss, chosen)
    torch.testing.assert_close(gradient, fine_tuning, atol=1e-8, rtol=0)


def test_total_variation_is_fine_tuning_everywhere(batch: PairBatch) -> None:
    chosen = batch.chosen.logp
    (gradient,) = torch.autograd.grad(loss("sft_total_variation", batch), chosen)
    torch.testing.assert_close(gradient, -1 / (7 * batch.chosen.tokens))


def test_token_rewards_sum_to_dpos_implicit_reward() -> None:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(6) < torch.tensor([6, 2, 4])[:, None]
    dpo, ref = (torch.where(mask, -torch.rand(3, 6, generator=generator), 0) for _ in range(2))
    lengths, zero = mask.sum(1), torch.zeros(3)
    pairs = PairBatch(Responses(dpo.sum(1), lengths, ref.sum(1)), Responses(zero, lengths, zero))
    rewards = dpo_token_reward(dpo, ref, mask, scale=0.3, bound=None).sum(1)
    implicit = builder("dpo")(beta=0.3)(pairs).metrics["score_chosen"].value()
    torch.testing.assert_close(rewards.mean(), implicit)

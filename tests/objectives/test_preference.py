"""Preference losses: values and gradients against slow loops over floats."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from concord.core.catalogue import builder
from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.objectives import (
    ChiSquared,
    ChosenMeanNll,
    ChosenNll,
    ChosenTokenNll,
    DynamicLabel,
    FixedLabel,
    Hellinger,
    Logistic,
    LogRatio,
    PairBatch,
    PairLoss,
    PreferenceObjective,
    Responses,
    SquaredMargin,
    TeacherLabel,
    TotalVariation,
    WeightedLogp,
)
from tests.objectives.pairs import make_pairs

Pair = dict[str, float]
"""p, q: log-probabilities of the chosen and the rejected response; rp, rq: the reference's; n, m: lengths; columns."""


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def sigmoid(x: float) -> float:
    return math.exp(log_sigmoid(x))


def h(pair: Pair) -> float:
    return (pair["p"] - pair["rp"]) - (pair["q"] - pair["rq"])


def cross_entropy(margin: float, label: float) -> float:
    return -label * log_sigmoid(margin) - (1 - label) * log_sigmoid(-margin)


def power(pair: Pair) -> float:
    margin = 2.0 * ((pair["p"] + 1) / pair["n"] - (pair["q"] + 1) / pair["m"])
    return cross_entropy(margin, pair["label"]) - 0.1 * 2.0 * pair["p"] / pair["n"]


def chi_squared(r: float) -> float:
    return r * r / 4 - r if r <= 2 else -1.0


def hellinger(r: float) -> float:
    return -r / (1 + r) if r >= -0.5 else -1 - 4 * r


def rise(pair: Pair) -> float:
    return (pair["p"] - pair["rp"]) / pair["n"]


# Each with its defaults.
SLOW: dict[str, Callable[[Pair], float]] = {
    "dpo": lambda pair: cross_entropy(0.1 * h(pair), 1),
    "cdpo": lambda pair: cross_entropy(0.1 * h(pair), 0.9),
    "ipo": lambda pair: (rise(pair) - (pair["q"] - pair["rq"]) / pair["m"] - 5) ** 2,
    "ipo_sum": lambda pair: (h(pair) - 5) ** 2,
    "rpo": lambda pair: cross_entropy(0.01 * h(pair), 1) - 0.005 * 0.01 * pair["p"],
    "rpo_mean": lambda pair: cross_entropy(0.5 * h(pair), 1) - 0.2 * pair["p"] / pair["n"],
    "dno": lambda pair: cross_entropy(0.1 * h(pair), sigmoid(pair["chosen_reward"] - pair["rejected_reward"])),
    "power_dl": power,
    "sft_total_variation": lambda pair: -rise(pair),
    "sft_chi_squared": lambda pair: chi_squared(rise(pair)),
    "sft_hellinger": lambda pair: hellinger(rise(pair)),
}


def plain(batch: PairBatch) -> list[Pair]:
    both = {"p": batch.chosen.logp, "q": batch.rejected.logp, "n": batch.chosen.lengths, "m": batch.rejected.lengths}
    both |= {"rp": batch.chosen.ref_logp, "rq": batch.rejected.ref_logp}
    columns = {name: x.tolist() for name, x in {**both, **batch.columns}.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def slow(name: str, pairs: list[Pair]) -> float:
    if name == "rpo_tokens":
        nll = -math.fsum(pair["p"] for pair in pairs) / sum(pair["n"] for pair in pairs)
        return slow("dpo", pairs) + nll
    return math.fsum(map(SLOW[name], pairs)) / len(pairs)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [*SLOW, "rpo_tokens"])
def test_value_and_gradient_are_the_slow_loops(name: str, seed: int) -> None:
    batch, chosen, rejected = make_pairs(seed)
    loss = builder(name)()(batch).loss
    assert loss.item() == pytest.approx(slow(name, plain(batch)), rel=1e-10)
    gradients = torch.autograd.grad(loss, (chosen, rejected), materialize_grads=True)
    for key, gradient in zip("pq", gradients, strict=True):
        for i, got in enumerate(gradient.tolist()):
            sides = []
            for step in (1e-5, -1e-5):
                pairs = plain(batch)
                pairs[i][key] += step
                sides.append(slow(name, pairs))
            assert got == pytest.approx((sides[0] - sides[1]) / 2e-5, abs=1e-8)


def test_metrics_are_those_of_the_implicit_rewards() -> None:
    batch, *_ = make_pairs()
    metrics = builder("dpo")(beta=0.3)(batch).metrics
    pairs = plain(batch)
    rewards = [(0.3 * (x["p"] - x["rp"]), 0.3 * (x["q"] - x["rq"])) for x in pairs]
    count = len(pairs)
    assert metrics["score_chosen"].value().item() == pytest.approx(sum(a for a, _ in rewards) / count)
    assert metrics["score_rejected"].value().item() == pytest.approx(sum(b for _, b in rewards) / count)
    assert metrics["margin"].value().item() == pytest.approx(sum(a - b for a, b in rewards) / count)
    assert metrics["accuracy"].value().item() == pytest.approx(sum(a > b for a, b in rewards) / count)
    assert set(builder("sft_chi_squared")()(batch).metrics) == {"score_chosen"}
    even = Responses(batch.chosen.logp, batch.chosen.lengths, batch.chosen.ref_logp)
    assert builder("dpo")(beta=0.3)(PairBatch(batch.chosen, even)).metrics["accuracy"].value().item() == 0.0


# ---- Labels ----


def test_a_dynamic_label_goes_to_the_policys_probability_at_its_rate() -> None:
    batch, *_ = make_pairs()
    start = batch.columns["label"]
    objective = builder("power_dl")(gamma=0.25)
    target = torch.tensor([sigmoid(2.0 * ((x["p"] + 1) / x["n"] - (x["q"] + 1) / x["m"])) for x in plain(batch)])
    for visit in range(1, 6):
        labels = objective(batch).labels
        batch = PairBatch(batch.chosen, batch.rejected, {"label": labels})
        torch.testing.assert_close(labels - target, 0.75**visit * (start - target), atol=1e-7, rtol=0)
    assert objective(batch).metrics["label"].value().item() == pytest.approx(objective(batch).labels.mean().item())
    assert not labels.requires_grad


def test_a_label_that_has_caught_up_stops_the_pair() -> None:
    batch, chosen, rejected = make_pairs()
    objective = builder("power_dl")(eta=0.0, gamma=1.0)
    caught = PairBatch(batch.chosen, batch.rejected, {"label": objective(batch).labels})
    gradients = torch.autograd.grad(objective(caught).loss, (chosen, rejected))
    assert max(gradient.abs().max() for gradient in gradients) < 1e-15


def test_a_pair_whose_teacher_is_silent_has_no_gradient_and_disturbs_no_other() -> None:
    batch, chosen, _ = make_pairs()
    objective = builder("dno")()
    (whole,) = torch.autograd.grad(objective(batch).loss, chosen)
    holed = {**batch.columns, "chosen_reward": batch.columns["chosen_reward"].clone()}
    holed["chosen_reward"][2] = math.nan
    loss = objective(PairBatch(batch.chosen, batch.rejected, holed)).loss
    (gradient,) = torch.autograd.grad(loss, chosen)
    assert loss.isfinite()
    assert torch.equal(gradient, torch.where(torch.arange(7) == 2, 0, whole))


def test_an_infinite_gap_is_a_hard_label_and_no_gap_none() -> None:
    batch, *_ = make_pairs()
    sure = {"chosen_reward": torch.full((7,), math.inf), "rejected_reward": torch.zeros(7)}
    hard = PairBatch(batch.chosen, batch.rejected, sure)
    assert torch.equal(builder("dno")()(hard).loss, builder("dpo")()(hard).loss)
    gap = {"chosen_reward": sure["chosen_reward"], "rejected_reward": sure["chosen_reward"]}
    assert builder("dno")()(PairBatch(batch.chosen, batch.rejected, gap)).loss == 0  # inf - inf: not known


# ---- Extremes ----


@pytest.mark.parametrize("far", [-1e4, 1e4])
@pytest.mark.parametrize("name", ["dpo", "cdpo", "ipo", "rpo", "dno", "power_dl", "sft_chi_squared", "sft_hellinger"])
def test_a_policy_far_from_its_reference_has_a_finite_gradient(name: str, far: float) -> None:
    batch, chosen, _ = make_pairs(dtype=torch.float32)
    moved = PairBatch(
        Responses(chosen + far, batch.chosen.lengths, batch.chosen.ref_logp), batch.rejected, batch.columns
    )
    loss = builder(name)()(moved).loss
    (gradient,) = torch.autograd.grad(loss, chosen)
    assert loss.isfinite()
    assert gradient.isfinite().all()


def test_a_response_that_truncation_emptied_has_score_0_and_divides_by_no_0() -> None:
    nothing = torch.zeros(1)
    empty = Responses(nothing, torch.tensor([0]), nothing)
    for name in ("ipo", "rpo_mean", "rpo_tokens", "power_dl"):
        assert builder(name)()(PairBatch(empty, empty, {"label": torch.ones(1)})).loss.isfinite()


def test_an_empty_batch_has_loss_0() -> None:
    none = Responses(torch.zeros(0), torch.zeros(0, dtype=torch.int64), torch.zeros(0))
    for term in (ChosenNll(1.0), ChosenMeanNll(1.0), ChosenTokenNll(1.0)):
        assert PreferenceObjective(LogRatio(), Logistic(0.1), (term,))(PairBatch(none, none)).loss == 0


def conjugate(f: Callable[[torch.Tensor], torch.Tensor], u: float) -> float:
    """``sup over x >= 0 of u x - f(x)``, on a fine grid."""
    x = torch.linspace(0, 60, 600_001, dtype=torch.float64)
    return (u * x - f(x)).max().item()


@pytest.mark.parametrize(
    ("loss", "f", "r"),
    [(ChiSquared(1.0), lambda x: (x - 1).square(), r) for r in (-3.0, -1.0, 0.0, 0.7, 2.0, 2.5, 9.0)]
    + [(Hellinger(1.0), lambda x: (x.sqrt() - 1).square(), r) for r in (-0.5, -0.2, 0.0, 0.6, 4.0)]
    + [(TotalVariation(1.0), lambda x: (x - 1).abs() / 2, r) for r in (-0.5, -0.1, 0.0, 0.3, 0.5)],
)
def test_losses_over_demonstrations_are_convex_conjugates(
    loss: TotalVariation, f: Callable[[torch.Tensor], torch.Tensor], r: float
) -> None:
    assert loss.of(torch.tensor(r, dtype=torch.float64)).item() == pytest.approx(conjugate(f, -r), abs=1e-6)


@given(r=st.floats(-50, 50))
def test_demonstrations_never_push_down(r: float) -> None:
    x = torch.tensor(r, dtype=torch.float64, requires_grad=True)
    for loss in (ChiSquared(1.0), Hellinger(1.0), TotalVariation(1.0)):
        (slope,) = torch.autograd.grad(loss.of(x), x)
        assert slope <= 0


# ---- What does not fit ----


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Logistic(0.0), "beta must be positive, got 0.0"),
        (lambda: SquaredMargin(-1.0), "beta must be positive, got -1.0"),
        (lambda: Logistic(math.nan), "beta must be positive, got nan"),
        (lambda: FixedLabel(0.6), "between 0 and 1/2, got 0.6"),
        (lambda: DynamicLabel(1.5), "gamma must be between 0 and 1, got 1.5"),
        (lambda: ChosenMeanNll(-0.1), "the coefficient must not be negative, got -0.1"),
        (lambda: builder("power_dl")(eta=-1.0), "eta must not be negative, got -1.0"),
    ],
)
def test_a_parameter_out_of_range_is_refused(build: Callable[[], object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build()


def test_a_batch_that_does_not_fit_says_what_is_wrong() -> None:
    one, two, length = torch.zeros(1), torch.zeros(2), torch.ones(1)
    side = Responses(one, length)
    with pytest.raises(BatchError, match=r"logp must be \[pairs\], summed over tokens, got \(1, 2\)"):
        Responses(torch.zeros(1, 2), length)
    with pytest.raises(BatchError, match=r"ref_logp must be \(1,\) like logp, got \(2,\)"):
        Responses(one, length, two)
    with pytest.raises(BatchError, match="1 chosen responses, 2 rejected ones"):
        PairBatch(side, Responses(two, torch.ones(2)))
    with pytest.raises(BatchError, match=r"column 'label' must be \(1,\), got \(2,\)"):
        PairBatch(side, side, {"label": two})
    with pytest.raises(BatchError, match="LogRatio needs ref_logp"):
        LogRatio()(side)
    with pytest.raises(MissingColumn, match=r"reads column 'chosen_reward'; these pairs carry \['label'\]"):
        TeacherLabel()(PairBatch(side, side, {"label": one}))
    assert WeightedLogp()(side).tolist() == [1.0]


def test_a_pair_loss_without_a_formula_says_so() -> None:
    batch, *_ = make_pairs()
    with pytest.raises(NotImplementedError, match="PairLoss does not override __call__"):
        PreferenceObjective(LogRatio(), PairLoss(1.0))(batch)

"""What is float noise, against exact arithmetic."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from concord import Chain, Groups, Rollouts, create
from concord.core.precision import beyond, precision_of, read_scores
from concord.stages import GroupNormalize, MeasureConflicts, Sum

EPS = Fraction(1, 10**6)
TAUS = (Fraction(1, 5), Fraction(1, 3), Fraction(1, 2), Fraction(3, 5), Fraction(4, 5))

KINDS: dict[str, Callable[[random.Random], Fraction]] = {
    "tenths": lambda rng: Fraction(rng.randint(0, 10), 10),
    "signed tenths": lambda rng: Fraction(rng.randint(-10, 10), 10),
    "thirds": lambda rng: Fraction(rng.randint(0, 3), 3),
    "fifths": lambda rng: Fraction(rng.randint(0, 5), 5),
    "sevenths": lambda rng: Fraction(rng.randint(0, 7), 7),
    "cents": lambda rng: Fraction(rng.randint(0, 99), 100),
    "money": lambda rng: Fraction(rng.randint(0, 2000), 100),
    "ratings": lambda rng: Fraction(rng.randint(1, 5)),
}


@dataclass(frozen=True)
class Stored:
    """How scores come in: the type they were rounded to, the type that holds them, and how near to tau is undecided."""

    rounded: torch.dtype
    held: torch.dtype
    undecided: Decimal
    unresolved: tuple[str, ...] = ()
    """Scores that the type does not tell apart: neighbouring cents are one number."""


STORED = {
    "float16": Stored(torch.float16, torch.float16, Decimal("0.02"), ("money",)),
    "bfloat16": Stored(torch.bfloat16, torch.bfloat16, Decimal("0.05"), ("money",)),
    "float32": Stored(torch.float32, torch.float32, Decimal("3e-5")),
    "float64": Stored(torch.float64, torch.float64, Decimal("1e-11")),
    "float32 in float64": Stored(torch.float32, torch.float64, Decimal("3e-5")),
}


def exact(column: list[Fraction]) -> list[Decimal]:
    """A group's standardised scores to fifty digits; those on the mean are exactly 0."""
    mean = sum(column) / len(column)
    away = [x - mean for x in column]
    if not any(away):
        return [Decimal(0)] * len(column)
    variance = sum(d * d for d in away) / (len(column) - 1)
    unit = _decimal(variance).sqrt() + _decimal(EPS)
    return [_decimal(d) / unit for d in away]


def _decimal(x: Fraction) -> Decimal:
    return Decimal(x.numerator) / Decimal(x.denominator)


@pytest.mark.parametrize("stored", STORED)
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(2, 33),
    count=st.integers(1, 3),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=6),
    tau=st.sampled_from(TAUS),
)
def test_masks_and_metrics_are_those_of_exact_fractions(
    stored: str, seed: int, size: int, count: int, kinds: list[str], tau: Fraction
) -> None:
    how, rng = STORED[stored], random.Random(seed)
    kinds = [kind for kind in kinds if kind not in how.unresolved] or ["tenths"]
    scores = [[KINDS[kind](rng) for kind in kinds] for _ in range(count * size)]
    held = torch.tensor([[float(x) for x in row] for row in scores], dtype=torch.float64).to(how.rounded).to(how.held)
    names = [f"{kind} {k}" for k, kind in enumerate(kinds)]
    batch = Rollouts(held, Groups.uniform(count, size), names, {"lengths": torch.ones(count * size)})

    hard = create("gd2po_hard").signal(batch)
    soft = create("gd2po", tau=float(tau)).signal(batch).keep
    paper = create("gd2po", tau=float(tau), rule="paper").signal(batch).keep
    measured = Chain((GroupNormalize(), MeasureConflicts(), Sum()))(batch).metrics

    mixed_rollouts, net, gross = 0, Decimal(0), Decimal(0)
    with localcontext() as context:
        context.prec = 50
        for p in range(count):
            rows = range(p * size, (p + 1) * size)
            z = [exact([scores[n][k] for n in rows]) for k in range(len(kinds))]
            for n, x in zip(rows, zip(*z, strict=True), strict=True):
                mixed = any(v > 0 for v in x) and any(v < 0 for v in x)
                total, size_ = abs(sum(x)), sum(map(abs, x))
                mixed_rollouts, net, gross = mixed_rollouts + mixed, net + total, gross + size_
                gap = total - _decimal(tau) * size_
                gap = Decimal(0) if abs(gap) < Decimal("1e-40") else gap
                assert hard.keep[n] == (not mixed)
                if gap and abs(gap) < how.undecided * size_:
                    continue  # nearer to tau than the scores are precise
                assert soft[n] == (not (mixed and gap < 0))
                assert paper[n] == (gap > 0)
        cancelled = float(1 - net / gross) if gross else 0.0
    share = mixed_rollouts / (count * size)
    assert measured["measure_conflicts/mixed"] == pytest.approx(share, abs=1e-6)
    assert hard.metrics["mask_conflicts/mixed"] == pytest.approx(share, abs=1e-6)
    assert measured["measure_conflicts/cancelled"] == pytest.approx(cancelled, abs=float(how.undecided))


def test_a_rollout_on_its_groups_mean_has_no_sign() -> None:
    """0.2, 0.6 and 1.0 in float32: the middle one is 7e-8 of a deviation off the mean, and is good on the other."""
    batch = Rollouts(torch.tensor([[0.0, 0.2], [1.0, 0.6], [0.0, 1.0]]), ["q"] * 3, ("a", "b"), {"lengths": [1, 1, 1]})
    assert create("gd2po_hard").signal(batch).keep.tolist() == [True, True, False]
    signal = dict(create("gdpo").signal(batch, trace=True).trace)["group_normalize"]
    assert signal.values[1, 1] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_ratio_of_exactly_tau_stays_by_the_code_and_goes_by_the_paper(dtype: torch.dtype) -> None:
    """The first two scored 3 above one mean and 1 below the other: |3 - 1| / (3 + 1) is 0.5."""
    a, b = [3.0, -1.0, -1.0, -1.0], [-1.0, 3.0, -1.0, -1.0]
    batch = Rollouts(torch.tensor([a, b], dtype=dtype).T, ["q"] * 4, ("a", "b"), {"lengths": [1] * 4})
    for tau, code, paper in ((0.499, True, True), (0.5, True, False), (0.501, False, False)):
        assert create("gd2po", tau=tau).signal(batch).keep[:2].tolist() == [code, code], tau
        assert create("gd2po", tau=tau, rule="paper").signal(batch).keep[:2].tolist() == [paper, paper], tau


@pytest.mark.parametrize("stored", ["float32", "float64", "float32 in float64", "bfloat16"])
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), size=st.integers(2, 9), tau=st.sampled_from(TAUS))
def test_no_order_changes_a_mask(stored: str, seed: int, size: int, tau: Fraction) -> None:
    how, rng = STORED[stored], random.Random(seed)
    kinds = [rng.choice(["tenths", "thirds", "sevenths", "ratings"]) for _ in range(3)]
    table = torch.tensor([[float(KINDS[kind](rng)) for kind in kinds] for _ in range(3 * size)], dtype=torch.float64)
    held, ids = table.to(how.rounded).to(how.held), [n // size for n in range(3 * size)]
    rows = torch.tensor(rng.sample(range(3 * size), 3 * size))
    for columns, method in itertools.product(([0, 1, 2], [2, 0, 1]), ("gd2po", "gd2po_hard")):
        parameters = {"tau": float(tau)} if method == "gd2po" else {}
        chain = create(method, **parameters).signal
        before = chain(_batch(held, ids)).keep
        after = chain(_batch(held[rows][:, columns], [ids[n] for n in rows.tolist()])).keep
        assert torch.equal(after, before[rows])


def _batch(scores: torch.Tensor, ids: list[int]) -> Rollouts:
    return Rollouts(scores, ids, [f"r{k}" for k in range(scores.shape[1])], {"lengths": [1] * len(ids)})


@pytest.mark.parametrize(
    ("scores", "dtype", "offsets"),
    [
        ([0.0, 1.0, 0.0, 1.0], torch.float32, [0.0, 1.0, 1e3, 1e6, 1e7, -1e7]),
        ([0.0, 1.0, 0.0, 1.0], torch.float64, [0.0, 1e7, 2.0**24, 1e12, -1e13]),
        ([0.2, 0.4, 0.9, 0.1], torch.float64, [0.0, 1500.0, 1e6, 1e9, -1e10]),
        ([0.25, 0.5, 0.75, 0.0], torch.float32, [0.0, 10.0, 1500.0, 1e4]),
    ],
)
def test_an_offset_that_the_type_can_carry_changes_nothing(
    scores: list[float], dtype: torch.dtype, offsets: list[float]
) -> None:
    """A judge at 1500 +- 0.1 has as much to say as one at 0 +- 0.1."""
    other = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=dtype)
    base = torch.tensor(scores, dtype=dtype)
    chain = create("gdpo", numerics="trl").signal
    want = chain(_batch(torch.stack([base, other], 1), [0] * 4)).advantages
    for offset in offsets:
        got = chain(_batch(torch.stack([base + offset, other], 1), [0] * 4)).advantages
        torch.testing.assert_close(got, want, rtol=0, atol=2e-5 if abs(offset) >= 1e9 else 1e-6)


def test_the_noise_of_float32_is_silence_at_any_size_and_one_unit_more_is_not() -> None:
    for value in (0.7, 1500.1, 1e-30, 3e30):
        x = torch.full((4, 1), value)
        x[0] = torch.nextafter(x[0], torch.tensor(torch.inf))  # a unit in the last place
        assert (create("grpo").signal(_batch(x, [0] * 4)).advantages == 0).all(), value
        x[0] = value * (1 + 2e-6)
        assert (create("grpo", numerics="trl").signal(_batch(x, [0] * 4)).advantages != 0).all(), value


def test_what_cancels_in_a_sum_leaves_no_rounding_error() -> None:
    """0.1 + 0.7, 0.8 + 0 and 0.3 + 0.5 are one total in exact arithmetic, and several in double precision."""
    x = torch.tensor([[0.1, 0.7], [0.8, 0.0], [0.3, 0.5]])
    assert x.double().sum(1).unique().numel() > 1
    assert (create("grpo").signal(_batch(x, [0] * 3)).advantages == 0).all()
    opposed = torch.tensor([0.2, 0.6, 0.9, 0.1])
    signal = create("gdpo", numerics="trl").signal(_batch(torch.stack([opposed, 1 - opposed], 1), [0] * 4))
    assert (signal.advantages == 0).all()


def test_the_precision_of_a_column_is_that_of_its_scores() -> None:
    single = torch.tensor([[0.1], [0.7], [torch.nan]])
    double = torch.tensor([[0.1], [0.7], [torch.nan]], dtype=torch.float64)
    whole = torch.tensor([[3.0], [5.0], [-2.0]])
    eps = torch.finfo(torch.float32).eps
    assert precision_of(single).item() == pytest.approx(2 * eps, rel=1e-6)
    assert precision_of(single.double()).item() == pytest.approx(2 * eps, rel=1e-6)  # stored as doubles
    assert precision_of(double).item() < 1e-14
    assert precision_of(whole).item() < 1e-14
    assert precision_of(whole + 2**24).item() > 1e-8  # beyond it every float32 is whole
    assert precision_of(torch.cat([double, single.double()], 1)).tolist() == pytest.approx([0, 2 * eps], abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_the_fractions_it_was_rounded_from(dtype: torch.dtype) -> None:
    groups = Groups.uniform(4, 4)
    given = [0.1, 0.2, 0.3, 0.9, 1 / 3, 2 / 3, 0, 1, 1, 5, 3, 2, 0.7311, 0.1234, 0.9876, 0.5557]
    x = torch.tensor(given, dtype=torch.float64)[:, None]
    read = read_scores(x.to(dtype), groups, {})
    torch.testing.assert_close(read.values[:12], x[:12], rtol=0, atol=1e-15)
    assert torch.equal(read.values[12:], x[12:].to(dtype).double())  # not of the kind: as they are
    assert read.noise is not None
    assert (read.noise[:3] < 1e-13).all()
    assert read.noise[3].item() == pytest.approx(
        torch.finfo(dtype).eps / 2, rel=1e-6
    )  # a unit in the last place of 0.99


def test_a_noise_floor_is_in_the_rewards_own_units() -> None:
    """Within 0.5 of the mean is nothing, beyond it is; rewards that are not named keep their own noise."""
    scores = torch.tensor([[10.0, 0.0], [10.4, 0.0], [9.6, 0.001], [14.0, 0.0]])
    bare = _batch(scores, [0] * 4)
    floored = Rollouts(scores, [0] * 4, bare.names, bare.columns, {"r0": 1.5})
    z = dict(create("gdpo").signal(floored, trace=True).trace)["group_normalize"].values
    assert (z[:2, 0] == 0).all()  # 1.0 and 0.6 below 11
    assert z[2, 0] == 0  # 1.4 below
    assert z[3, 0] > 0
    assert (z[:, 1] != 0).all()
    narrow = Rollouts(scores, [0] * 4, bare.names, bare.columns, {"r0": 1.3})
    assert dict(create("gdpo").signal(narrow, trace=True).trace)["group_normalize"].values[2, 0] < 0
    silent = Rollouts(scores, [0] * 4, bare.names, bare.columns, {"r0": 3.1, "r1": 0.1})
    assert (create("gdpo").signal(silent).advantages == 0).all()
    assert (create("grpo").signal(silent).advantages == 0).all()


def test_a_threshold_is_met_up_to_the_noise_and_no_further() -> None:
    x = torch.tensor([[0.7], [0.6999], [0.7001]])
    assert beyond(x[:, 0], 0.7, precision_of(x)[0]).sign().tolist() == [0, -1, 1]


def test_huge_doubles_have_a_defined_result() -> None:
    x = torch.tensor([[1.7e308], [-1.7e308], [1.0], [0.0]], dtype=torch.float64)
    outcome = create("gdpo", numerics="trl").signal(_batch(x, [0] * 4))
    assert outcome.advantages.isfinite().all()
    assert outcome.advantages[0] > 0 > outcome.advantages[1]

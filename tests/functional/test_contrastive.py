"""Contrastive losses: the authors' numbers, slow loops, and what happens where there is nothing to compare."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from concord.core.groups import Groups
from concord.core.signal import masked_mean
from concord.functional.contrastive import (
    LEVELS,
    LOG_SUMS,
    LOSSES,
    Comparison,
    contrastive_bonus,
    draw_positive,
    info_nce,
    soft_nearest_neighbour,
    sup_con_in,
    sup_con_out,
)

GOLDEN = Path(__file__).parents[1] / "golden"
THEIRS = {
    "soft_nn_loss": ("soft_nearest_neighbour", "correct"),
    "supcon_loss_in": ("sup_con_in", "correct"),
    "supcon_loss_out": ("sup_con_out", "correct"),
    "infonce_two_correct": ("info_nce", "correct_two"),  # with one positive there is nothing to draw
}


def compare(
    z: Tensor, correct: Tensor, groups: Groups, level: str = "group", scored: Tensor | None = None
) -> Comparison:
    return LEVELS[level](z, correct, torch.ones_like(correct) if scored is None else scored, groups)


def ragged(seed: int, dim: int = 5) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    """Interleaved groups, one all correct, one all wrong, one of one; a third of the rest not scored."""
    sizes, rng = (4, 3, 6, 5, 1, 3), random.Random(seed)
    ids = [p for p, size in enumerate(sizes) for _ in range(size)]
    rng.shuffle(ids)
    generator = torch.Generator().manual_seed(seed)
    z = normalize(torch.randn(len(ids), dim, generator=generator, dtype=torch.float64), dim=1)
    correct = torch.tensor([p == 1 or (p != 5 and rng.random() < 0.6) for p in ids])
    scored = torch.tensor([p in (1, 5) or rng.random() < 0.8 for p in ids])
    return z, correct & scored, scored, ids


def loop(
    z: Tensor, correct: Tensor, scored: Tensor, ids: list[int], level: str, form: str, temperature: float
) -> list[float]:
    """The losses from their formulas, pair by pair."""
    losses = []
    for i in range(len(ids)):
        near, every = [], []
        for j in range(len(ids)):
            if i == j or not scored[i] or not scored[j] or (level == "group" and ids[i] != ids[j]):
                continue
            s = math.fsum((z[i] * z[j]).tolist()) / temperature
            every.append(s)
            if correct[i] and correct[j] and (level == "batch" or ids[i] == ids[j]):
                near.append(s)
        if not near or len(near) == len(every):
            losses.append(0.0)
            continue
        whole = math.log(math.fsum(map(math.exp, every)))
        if form == "sup_con_out":
            losses.append(whole - math.fsum(near) / len(near))
        else:
            share = len(near) if form == "sup_con_in" else 1
            losses.append(whole - math.log(math.fsum(map(math.exp, near)) / share))
    return losses


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("theirs", THEIRS)
@pytest.mark.parametrize("file", ["clipo_0_Q6_G8", "clipo_1_Q10_G16"])
def test_losses_and_bonus_are_the_authors(file: str, theirs: str, temperature: float) -> None:
    golden, (name, which), key = load_file(GOLDEN / f"{file}.safetensors"), THEIRS[theirs], f"{theirs}/t{temperature}"
    z = normalize(golden["hidden"] @ golden["head_weight"].T, dim=1)
    torch.testing.assert_close(z, golden["embeddings"], rtol=0, atol=1e-6)
    comparison = compare(z, golden[which].bool(), Groups.of(golden["groups"].tolist()))
    found = LOSSES[name](comparison, temperature, LOG_SUMS["authors"])
    torch.testing.assert_close(found, golden[f"{key}/per_rollout"], rtol=0, atol=1e-5)
    torch.testing.assert_close(masked_mean(found, comparison.anchor), golden[f"{key}/batch"], rtol=0, atol=1e-5)
    if which == "correct":
        torch.testing.assert_close(contrastive_bonus(found, scale=0.2, floor=-0.5), golden[f"{key}/reward"])


@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize(
    ("level", "theirs"),
    [(level, theirs) for level in LEVELS for theirs in THEIRS if (level, theirs[:4]) != ("batch", "info")],
)
def test_levels_and_gradients_are_the_authors(level: str, theirs: str, temperature: float) -> None:
    golden, (name, which) = load_file(GOLDEN / "clipo_gradients.safetensors"), THEIRS[theirs]
    key, weight = f"{level}/{theirs}/t{temperature}", golden["head_weight"].requires_grad_()
    z = normalize(golden["hidden"] @ weight.T, dim=1)
    comparison = compare(z, golden[which].bool(), Groups.of(golden["groups"].tolist()), level)
    found = LOSSES[name](comparison, temperature, LOG_SUMS["authors"])
    torch.testing.assert_close(found.detach(), golden[f"{key}/per_rollout"], rtol=0, atol=1e-5)
    masked_mean(found, comparison.anchor).backward()
    torch.testing.assert_close(weight.grad, golden[f"{key}/head_grad"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("form", ["sup_con_out", "sup_con_in", "soft_nearest_neighbour"])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_losses_equal_their_slow_twins(level: str, form: str, temperature: float) -> None:
    anchors = 0
    for seed in range(6):
        z, correct, scored, ids = ragged(seed)
        comparison = compare(z, correct, Groups.of(ids), level, scored)
        want = torch.tensor(loop(z, correct, scored, ids, level, form, temperature), dtype=torch.float64)
        torch.testing.assert_close(LOSSES[form](comparison, temperature, LOG_SUMS["exact"]), want, rtol=1e-9, atol=1e-9)
        assert torch.equal(comparison.anchor, want != 0)
        anchors += int(comparison.anchor.sum())
    assert anchors > 10


def test_four_orthogonal_embeddings() -> None:
    """Computed by hand: log 3, and with the authors' floor 20 + log(3 exp(-20) + 1e-8) - 0."""
    z, correct = torch.eye(4), torch.tensor([True, True, False, False])
    comparison = compare(z, correct, Groups.uniform(1, 4))
    exact = sup_con_out(comparison, 0.05)
    torch.testing.assert_close(exact, torch.tensor([math.log(3)] * 2 + [0.0] * 2))
    floored = sup_con_out(comparison, 0.05, LOG_SUMS["authors"])
    want = 20 + math.log(3 * math.exp(-20) + 1e-8)
    assert want == pytest.approx(2.0607, abs=1e-4)
    torch.testing.assert_close(floored, torch.tensor([want] * 2 + [0.0] * 2))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("log_sum", LOG_SUMS)
@pytest.mark.parametrize("form", ["sup_con_out", "sup_con_in", "soft_nearest_neighbour"])
def test_gradients_are_those_of_the_values(form: str, log_sum: str, level: str) -> None:
    z, correct, scored, ids = ragged(1)

    def total(raw: Tensor) -> Tensor:
        comparison = compare(normalize(raw, dim=1), correct, Groups.of(ids), level, scored)
        # The row's maximum is held constant in the authors' sum; at this temperature their floor is below rounding.
        return LOSSES[form](comparison, 2.0, LOG_SUMS[log_sum]).sum()

    assert torch.autograd.gradcheck(total, z.clone().requires_grad_(), atol=1e-6)


def test_at_group_level_the_layout_is_the_groups_and_elsewhere_the_batchs() -> None:
    z, correct, scored, ids = ragged(0)
    shapes = {level: tuple(compare(z, correct, Groups.of(ids), level, scored).similarity.shape) for level in LEVELS}
    assert shapes == {"group": (22, 6), "cross": (22, 22), "batch": (22, 22)}


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_not_scored_takes_no_part(level: str) -> None:
    z, correct, scored, ids = ragged(2)
    whole = sup_con_out(compare(z, correct, Groups.of(ids), level, scored))
    left = Groups.of([p for p, there in zip(ids, scored.tolist(), strict=True) if there])
    torch.testing.assert_close(whole[scored], sup_con_out(compare(z[scored], correct[scored], left, level)))
    assert (whole[~scored] == 0).all()


@pytest.mark.parametrize("level", LEVELS)
def test_order_of_rollouts_is_irrelevant(level: str) -> None:
    z, correct, scored, ids = ragged(3)
    order = torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))
    moved = compare(z[order], correct[order], Groups.of([ids[i] for i in order.tolist()]), level, scored[order])
    torch.testing.assert_close(sup_con_in(moved), sup_con_in(compare(z, correct, Groups.of(ids), level, scored))[order])


ALL, NONE, ONE = [True] * 4, [False] * 4, [True, False, False, False]


@pytest.mark.parametrize("log_sum", LOG_SUMS)
@pytest.mark.parametrize("form", LOSSES)
@pytest.mark.parametrize(
    ("level", "correct"),
    [("group", ALL * 2), ("group", NONE + ALL), ("group", ONE * 2), ("cross", ONE * 2), ("batch", ALL * 2)],
)
def test_without_an_anchor_loss_and_gradient_are_exactly_zero(
    level: str, correct: list[bool], form: str, log_sum: str
) -> None:
    raw = torch.randn(8, 3, requires_grad=True)
    comparison = compare(normalize(raw, dim=1), torch.tensor(correct), Groups.uniform(2, 4), level)
    losses = LOSSES[form](comparison, 0.05, LOG_SUMS[log_sum])
    masked_mean(losses, comparison.anchor).backward()
    assert not comparison.anchor.any()
    assert (losses == 0).all()
    assert (raw.grad == 0).all()


@pytest.mark.parametrize("log_sum", LOG_SUMS)
@pytest.mark.parametrize("form", LOSSES)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_embeddings_that_are_all_equal_or_all_zero_are_finite(form: str, log_sum: str, value: float) -> None:
    raw = torch.full((6, 3), value, requires_grad=True)
    correct = torch.tensor([True, True, False] * 2)
    losses = LOSSES[form](compare(normalize(raw, dim=1), correct, Groups.uniform(2, 3)), 0.05, LOG_SUMS[log_sum])
    losses.sum().backward()
    assert losses.isfinite().all()
    assert raw.grad.isfinite().all()  # type: ignore[union-attr]
    if log_sum == "exact":  # log of the number of the others
        assert losses[0].item() == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.parametrize("log_sum", LOG_SUMS)
def test_the_smallest_temperatures_do_not_overflow(log_sum: str) -> None:
    z, correct, scored, ids = ragged(4)
    losses = sup_con_out(compare(z.float(), correct, Groups.of(ids), "group", scored), 1e-4, LOG_SUMS[log_sum])
    assert losses.isfinite().all()
    assert losses.max() > 1000


def test_with_one_positive_all_forms_are_one() -> None:
    z, correct, scored, ids = ragged(5)
    comparison = draw_positive(compare(z, correct, Groups.of(ids), "group", scored), torch.Generator().manual_seed(1))
    assert set(comparison.positive.sum(1).tolist()) == {0, 1}
    first, *rest = (form(comparison) for form in (sup_con_out, sup_con_in, soft_nearest_neighbour))
    assert (first != 0).any()
    for other in rest:
        torch.testing.assert_close(other, first)


def test_the_mean_inside_the_logarithm_is_never_above_the_mean_outside() -> None:
    z, correct, scored, ids = ragged(0)
    comparison = compare(z, correct, Groups.of(ids), "group", scored)
    within, outside, softly = (form(comparison) for form in (sup_con_in, sup_con_out, soft_nearest_neighbour))
    assert (within <= outside + 1e-12).all()
    count = comparison.positive.sum(1)[comparison.anchor].double()
    torch.testing.assert_close((within - softly)[comparison.anchor], count.log())


def test_positives_are_drawn_uniformly_and_by_the_generator_alone() -> None:
    z, correct = normalize(torch.randn(5, 3), dim=1), torch.tensor([True, True, True, True, False])
    comparison = compare(z, correct, Groups.uniform(1, 5))
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([draw_positive(comparison, generator).positive for _ in range(3000)]).float().mean(0)
    want = comparison.positive / 3
    torch.testing.assert_close(drawn, want, rtol=0, atol=0.035)  # four deviations
    assert torch.equal(torch.get_rng_state(), before)
    again = [draw_positive(comparison, torch.Generator().manual_seed(7)).positive for _ in range(2)]
    assert torch.equal(*again)


def test_info_nce_is_sup_con_out_on_average_and_draws_make_no_anchors() -> None:
    """Three correct of three: once two of them are not drawn, they must not pass for incorrect ones."""
    correct = torch.tensor([True, True, True, False, True, True, True])
    comparison = compare(normalize(torch.randn(7, 3), dim=1), correct, Groups.of([0, 0, 0, 0, 1, 1, 1]))
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([info_nce(comparison, 1.0, generator=generator) for _ in range(2000)])
    torch.testing.assert_close(draws.mean(0), sup_con_out(comparison, 1.0), rtol=0, atol=0.05)
    assert draws.std(0)[:3].min() > 0
    assert (draws[:, 4:] == 0).all()


@pytest.mark.parametrize("form", [sup_con_out, sup_con_in, soft_nearest_neighbour])
def test_nearer_positives_and_farther_others_cost_less(form: Callable[..., Tensor]) -> None:
    angles = torch.tensor([0.0, 0.5, 2.0])
    correct, groups = torch.tensor([True, True, False]), Groups.uniform(1, 3)

    def loss(*moved: float) -> float:
        at = angles + torch.tensor(moved)
        return form(compare(torch.stack([at.cos(), at.sin()], 1), correct, groups), 1.0)[0].item()

    assert loss(0, -0.3, 0) < loss(0, 0, 0) < loss(0, 0, -0.5)

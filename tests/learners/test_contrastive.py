"""CLIPO's learner: the authors' steps, the same bits after a resume, and nothing learnt from nothing."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from concord import Groups, Rollouts
from concord.core.errors import BatchError, ConfigError, MissingColumn
from concord.learners import Contrastive, ContrastiveLearner

GOLDEN = Path(__file__).parents[1] / "golden" / "clipo_gradients.safetensors"
H = 6


def rollouts(seed: int = 0, groups: int = 4, size: int = 8, **columns: Tensor) -> Rollouts:
    """Rewards "right" (0, 1 or not scored) and "short"; states without a pattern."""
    generator = torch.Generator().manual_seed(seed)
    n = groups * size
    rewards = torch.rand(n, 2, generator=generator)
    rewards[:, 0] = (rewards[:, 0] > 0.4).float()
    rewards[torch.rand(n, generator=generator) < 0.1, 0] = torch.nan
    given = {"hidden": torch.randn(n, H, generator=generator)} | columns
    return Rollouts(rewards, Groups.uniform(groups, size), ("right", "short"), given)


def learner(seed: int = 0, **changes: Any) -> ContrastiveLearner:
    return Contrastive(**{"correct": "right", "dim": 5} | changes).build(H, seed=seed)


def weights(made: ContrastiveLearner) -> Tensor:
    return torch.cat([parameter.detach().flatten().clone() for parameter in made.head.parameters()])


def test_three_steps_are_the_authors() -> None:
    """Losses before each step, the bonus' source, and the weights after it; AdamW as they set it."""
    golden = load_file(GOLDEN)
    width, size = golden["head_weight"].shape
    made = Contrastive(dim=width, log_sum="authors").build(size)
    made.head.weight.data.copy_(golden["head_weight"])  # type: ignore[union-attr,operator]
    correct = golden["correct_two"].float()
    batch = Rollouts(correct[:, None], Groups.of(golden["groups"].tolist()), ("acc",), {"hidden": golden["hidden"]})
    for step in range(3):
        loss = made.step(batch).column("contrastive_loss")
        want = golden[f"steps/{step}/per_rollout"]
        torch.testing.assert_close(loss.nan_to_num(0), want, rtol=0, atol=1e-5)
        assert torch.equal(loss.isnan(), want == 0)
        torch.testing.assert_close(made.metrics["loss"], want[want != 0].mean(), rtol=0, atol=1e-5)
        torch.testing.assert_close(made.head.weight, golden[f"steps/{step}/head_weight"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_it_resumes_to_the_same_bits(head: str, tmp_path: Path) -> None:
    straight = learner(seed=1, head=head)
    for step in range(3):
        straight.step(rollouts(step))
    save_file(straight.state_dict(), tmp_path / "state.safetensors")
    resumed = learner(seed=99, head=head)
    resumed.load_state_dict(load_file(tmp_path / "state.safetensors"))
    for step in range(3, 6):
        one, two = straight.step(rollouts(step)), resumed.step(rollouts(step))
        assert torch.equal(weights(straight), weights(resumed))
        for column in ("contrastive_loss", "correct"):
            assert torch.equal(one.column(column).nan_to_num(-1), two.column(column).nan_to_num(-1))


def test_a_state_is_a_copy(tmp_path: Path) -> None:
    made = learner()
    made.step(rollouts(0))
    state = made.state_dict()
    kept = {name: value.clone() for name, value in state.items()}
    other = learner()
    other.load_state_dict(state)
    for trained in (made, other):
        trained.step(rollouts(1))
    assert all(torch.equal(state[name], kept[name]) for name in kept)


def test_a_state_of_another_shape_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"the checkpoint's learner has weights .*\(5, 6\).*, this run's has .*\(7, 6\)"
    ):
        learner(dim=7).load_state_dict(learner().state_dict())


def test_before_the_first_step_a_state_is_enough_too() -> None:
    made, other = learner(seed=1), learner(seed=2)
    other.load_state_dict(made.state_dict())
    made.step(rollouts()), other.step(rollouts())
    assert torch.equal(weights(made), weights(other))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_first_weights_come_from_the_seed_and_are_torchs_own_in_kind(head: str) -> None:
    before = torch.get_rng_state()
    made, again, other = (Contrastive(head=head).build(64, seed=seed) for seed in (3, 3, 4))  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights(made), weights(again))
    assert not torch.equal(weights(made), weights(other))
    bound = 1 / math.sqrt(64)  # nn.Linear's
    assert 0.95 * bound < weights(made).abs().max() <= bound
    assert all("bias" not in name for name, _ in made.head.named_parameters())
    learner(head=head).step(rollouts())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_score_is_the_steps_judgement_and_changes_nothing() -> None:
    made = learner()
    made.step(rollouts(0))
    before = made.state_dict()
    scored = made.score(rollouts(1)).column("contrastive_loss")
    after = made.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(scored.nan_to_num(-1), made.step(rollouts(1)).column("contrastive_loss").nan_to_num(-1))
    assert not torch.equal(before["module.weight"], made.state_dict()["module.weight"])


def test_correctness_is_a_named_reward_above_a_threshold() -> None:
    rewards = torch.tensor([[0.0, 0.9], [0.5, 0.1], [torch.nan, 1.0], [1.0, torch.inf], [-1.0, 0.0]])
    batch = Rollouts(rewards, Groups.uniform(1, 5), ("a", "b"), {"hidden": torch.randn(5, H)})

    def correct(**named: Any) -> list[float]:
        return learner(**named).step(batch).column("correct").nan_to_num(-1).tolist()

    assert correct(correct="a") == [0, 1, -1, 1, 0]
    assert correct(correct="a", threshold=0.5) == [0, 0, -1, 1, 0]
    assert correct(correct="a", threshold=-2) == [1, 1, -1, 1, 1]
    assert correct(correct="b", threshold=0.5) == [1, 0, 1, -1, 0]
    alone = Rollouts(rewards[:, :1], batch.groups, ("a",), batch.columns)
    assert learner(correct=None).step(alone).column("correct").nan_to_num(-1).tolist() == [0, 1, -1, 1, 0]


@pytest.mark.parametrize(
    ("correct", "message"),
    [(None, "say which reward tells .* correct= one of right, short"), ("rihgt", "no reward; .* did you mean 'right'")],
)
def test_a_reward_that_does_not_say_what_is_correct_is_refused(correct: str | None, message: str) -> None:
    for refuse in (
        lambda: learner(correct=correct).step(rollouts()),
        lambda: Contrastive(correct).check(("right", "short")),
    ):
        with pytest.raises(ConfigError, match=message):
            refuse()
    Contrastive("right").check(("right", "short"))


@pytest.mark.parametrize("value", [0.0, 1.0, torch.nan])
def test_without_an_anchor_nothing_is_learnt(value: float) -> None:
    """AdamW would take a step on a gradient of 0 too, by its decay and its momentum."""
    made = learner()
    made.step(rollouts(0))
    before = weights(made)
    batch = rollouts(1)
    flat = Rollouts(torch.full_like(batch.rewards, value), batch.groups, batch.names, batch.columns)
    assert made.step(flat).column("contrastive_loss").isnan().all()
    assert torch.equal(weights(made), before)
    found = {name: metric.item() for name, metric in made.metrics.items()}
    assert found["anchors"] == found["groups"] == 0
    assert all(math.isnan(found[name]) for name in ("loss", "positive_similarity", "negative_similarity"))


def test_states_that_are_not_finite_are_named_unless_they_take_no_part() -> None:
    batch = rollouts()
    unscored = int(batch.rewards[:, 0].isnan().nonzero()[0])
    scored = int(batch.rewards[:, 0].isfinite().nonzero()[3])
    hidden = batch.column("hidden").clone()
    hidden[unscored] = torch.nan
    plain, holed = learner(), learner()
    want = plain.step(batch).column("contrastive_loss")
    got = holed.step(batch.with_columns(hidden=hidden)).column("contrastive_loss")
    assert torch.equal(got.nan_to_num(-1), want.nan_to_num(-1))
    assert torch.equal(weights(plain), weights(holed))
    hidden[scored, 2] = torch.inf
    with pytest.raises(
        BatchError, match=f"column 'hidden' is not finite in 1 scored rollouts, the first is row {scored}"
    ):
        holed.step(batch.with_columns(hidden=hidden))


@pytest.mark.parametrize("hidden", [torch.zeros(32, H + 1), torch.zeros(32, 4, H), torch.zeros(32)])
def test_states_of_the_wrong_shape_are_refused(hidden: Tensor) -> None:
    with pytest.raises(BatchError, match=r"column 'hidden' must be \[32, 6\], got"):
        learner().step(rollouts(hidden=hidden))


def test_states_that_are_missing_are_named() -> None:
    batch = rollouts()
    with pytest.raises(MissingColumn, match="no column 'hidden'"):
        learner().step(Rollouts(batch.rewards, batch.groups, batch.names))


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_states_of_zero_and_huge_states_leave_weights_finite(head: str) -> None:
    batch = rollouts()
    hidden = batch.column("hidden") * 1e4
    hidden[::3] = 0
    made = learner(head=head)
    for _ in range(3):
        assert (made.step(batch.with_columns(hidden=hidden)).column("contrastive_loss") >= 0).any()
    assert weights(made).isfinite().all()


def test_the_scale_of_the_states_does_not_matter_to_a_linear_head() -> None:
    batch = rollouts()
    losses = [
        learner().step(batch.with_columns(hidden=batch.column("hidden") * scale)).column("contrastive_loss")
        for scale in (1, 0.9, 50)
    ]
    for other in losses[1:]:
        torch.testing.assert_close(other, losses[0], equal_nan=True, rtol=1e-4, atol=1e-4)


def test_no_gradient_reaches_the_states_and_the_columns_carry_none() -> None:
    hidden = torch.randn(32, H, requires_grad=True)
    judged = learner().step(rollouts(hidden=hidden))
    assert hidden.grad is None
    assert not judged.column("contrastive_loss").requires_grad
    assert all(parameter.grad is None for parameter in learner().head.parameters())


def test_autocast_and_no_grad_around_it_change_nothing() -> None:
    plain, wrapped = learner(), learner()
    want = plain.step(rollouts()).column("contrastive_loss")
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        got = wrapped.step(rollouts()).column("contrastive_loss")
    assert torch.equal(got.nan_to_num(-1), want.nan_to_num(-1))
    assert torch.equal(weights(plain), weights(wrapped))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_states_of_any_precision_are_taken(dtype: torch.dtype) -> None:
    batch = rollouts()
    loss = learner().step(batch.with_columns(hidden=batch.column("hidden").to(dtype))).column("contrastive_loss")
    assert loss.dtype is torch.float32
    assert loss.isfinite().any()


def test_metrics_equal_their_definitions() -> None:
    made, batch = learner(loss="sup_con_out"), rollouts(3)
    z = normalize(batch.column("hidden") @ made.head.weight.T, dim=1).detach()  # type: ignore[operator,union-attr]
    losses = made.step(batch).column("contrastive_loss")
    right, near, far, anchors = batch.rewards[:, 0].tolist(), [], [], [loss == loss for loss in losses.tolist()]
    for n in range(32):
        for m in range(32):
            if anchors[n] and n // 8 == m // 8 and n != m and right[m] == right[m]:
                (near if right[m] else far).append(float(z[n] @ z[m]))
    want = {
        "loss": losses[~losses.isnan()].mean().item(),
        "anchors": sum(anchors) / 32,
        "groups": sum(any(anchors[p * 8 : p * 8 + 8]) for p in range(4)) / 4,
        "positive_similarity": math.fsum(near) / len(near),
        "negative_similarity": math.fsum(far) / len(far),
    }
    assert {name: value.item() for name, value in made.metrics.items()} == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.parametrize("level", ["group", "cross", "batch"])
def test_it_learns_what_the_correct_ones_share(level: str, head: str) -> None:
    """One direction of the states is shared by the correct rollouts; on prompts of which no step has been taken."""
    made = learner(level=level, head=head, lr=1e-2, temperature=0.5, loss="sup_con_out")

    def batch(seed: int) -> Rollouts:
        plain = rollouts(seed)
        hidden = plain.column("hidden")
        hidden[:, 0] += 1.5 * plain.rewards[:, 0].nan_to_num(0)
        return plain.with_columns(hidden=hidden)

    def loss() -> float:
        made.score(batch(10_000))
        return made.metrics["loss"].item()

    before = loss()
    for step in range(40):
        made.step(batch(step))
    assert loss() < before - 0.05


def test_an_empty_batch_is_judged() -> None:
    batch = Rollouts(torch.empty(0, 1), Groups.of([]), ("right",), {"hidden": torch.empty(0, H)})
    for level in ("group", "cross", "batch"):
        assert learner(level=level).step(batch).column("contrastive_loss").shape == (0,)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("loss", "infonce", "loss must be one of info_nce, .* got 'infonce'; did you mean 'info_nce'"),
        ("level", "prompt", "level must be one of group, cross, batch, got 'prompt'"),
        ("head", "conv", "head must be one of linear, mlp, got 'conv'"),
        ("log_sum", "eps", "log_sum must be one of exact, authors"),
        ("pooling", "last", "pooling must be one of mean, authors"),
        ("temperature", 0.0, "need temperature and lr above 0"),
        ("lr", -1.0, "need temperature and lr above 0"),
        ("weight_decay", -0.1, "weight_decay and warmup not below it"),
        ("dim", 0, "dim at least 1"),
        ("warmup", -1, "weight_decay and warmup not below it"),
        ("threshold", math.nan, "threshold must be a finite number"),
    ],
)
def test_parameters_out_of_range_are_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Contrastive(**{field: value})


def test_the_parameters_are_a_value() -> None:
    spec, again = (Contrastive("right", 0.5, head="mlp") for _ in range(2))
    assert pickle.loads(pickle.dumps(spec)) == spec == again
    assert hash(spec) == hash(again)


def test_pooling_is_by_name() -> None:
    states, mask = torch.ones(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)
    assert Contrastive().pool(states, mask).tolist() == [[1, 1]]
    assert Contrastive(pooling="authors").pool(states, mask).tolist() == [[0.75, 0.75]]

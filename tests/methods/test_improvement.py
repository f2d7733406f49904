"""PIPO: a second update on the batch before."""

from __future__ import annotations

import pickle

import pytest
import torch

from concord import Groups, Rollouts
from concord.core.errors import BatchError, ConfigError
from concord.methods import PolicyImprovement, builder, gd2po, grpo, info, pipo
from tests.batches import make_batch


def batch_of(*rewards: float) -> Rollouts:
    return Rollouts(torch.tensor(rewards, dtype=torch.float64)[:, None], Groups.uniform(1, len(rewards)), ("right",))


def run(strategy: PolicyImprovement, means: list[float]) -> list[torch.Tensor | None]:
    past, seen = strategy.init(), []
    for mean in means:
        again, _, past = strategy(batch_of(mean + 1, mean - 1), past)
        seen.append(None if again is None else again.advantages)
    return seen


def test_nothing_is_repeated_until_the_history_is_full() -> None:
    first, second, third, fourth = run(pipo(window=3), [1.0, 2.0, 3.0, 9.0])
    assert first is None
    for early in (second, third):
        assert early is not None
        assert (early == 0).all()
    assert fourth is not None
    assert fourth.tolist() == [7.0, -7.0]  # (9 - 2) / 1


def test_a_step_that_hurt_is_taken_back_in_part() -> None:
    *_, last = run(pipo(window=3, slack=0.5), [1.0, 2.0, 3.0, -5.0])
    assert last is not None
    assert last.tolist() == [-3.5, 3.5]  # 0.5 * (-5 - 2) / 1


def test_the_batch_at_hand_is_not_part_of_its_own_history() -> None:
    *_, before, last = run(pipo(window=2), [0.0, 1.0, 4.0, 4.0])
    assert before is not None
    assert last is not None
    assert before[0].item() == pytest.approx((4 - 0.5) / 0.5**0.5)
    assert last[0].item() == pytest.approx((4 - 2.5) / 4.5**0.5)


def test_the_update_on_the_batch_at_hand_is_the_base_methods() -> None:
    batch, _ = make_batch(1)
    strategy = pipo(base="gd2po", base_args={"tau": 0.5})
    _, outcome, _ = strategy(batch, strategy.init())
    assert torch.equal(outcome.advantages, gd2po(tau=0.5).signal(batch).advantages)
    assert outcome.metrics["pipo/progress"] == 0


def test_the_mean_is_of_the_weighted_rewards_of_those_that_were_scored() -> None:
    rewards = torch.tensor([[1.0, 4.0], [3.0, torch.nan], [torch.nan, torch.nan]])
    batch = Rollouts(rewards, Groups.uniform(1, 3), ("a", "b"))
    strategy = pipo(weights={"b": 0.5})
    _, outcome, _ = strategy(batch, strategy.init())
    assert outcome.metrics["pipo/mean"].item() == pytest.approx((1 + 2 + 3 + 2) / 2)


def test_a_batch_in_which_nothing_was_scored_is_no_setback() -> None:
    nan = float("nan")
    strategy = pipo(window=2)
    past = strategy.init()
    for mean in (1.0, 2.0):
        past = strategy(batch_of(mean + 1, mean - 1), past).past
    again, outcome, after = strategy(batch_of(nan, nan), past)
    assert again is not None
    assert (again.advantages == 0).all()
    assert outcome.metrics["pipo/progress"] == 0
    assert torch.equal(after.means, past.means)


def test_the_past_is_a_value() -> None:
    strategy = pipo(window=2)
    past = strategy.init()
    for seed in range(3):
        past = strategy(make_batch(seed)[0], past).past
    batch, _ = make_batch(9)
    again, other = (strategy(batch, past).again for _ in range(2))
    assert again is not None
    assert other is not None
    assert torch.equal(again.advantages, other.advantages)
    assert (again.advantages != 0).any()


def test_an_empty_batch_leaves_the_past_as_it_was() -> None:
    strategy = pipo()
    past = strategy(batch_of(1.0, 0.0), strategy.init()).past
    nothing = Rollouts(torch.empty(0, 1), Groups.of([]), ("right",))
    assert strategy(nothing, past).past is past


def test_it_is_a_value_and_in_the_catalogue() -> None:
    assert pickle.loads(pickle.dumps(pipo())) == pipo() == PolicyImprovement(grpo())
    assert builder("pipo")() == pipo()
    assert info("pipo").kind == "strategy"


@pytest.mark.parametrize(("parameters", "message"), [({"window": 1}, "at least 2"), ({"slack": -0.1}, "negative")])
def test_a_parameter_out_of_range_is_refused(parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        pipo(**parameters)  # type: ignore[arg-type]


@pytest.mark.parametrize("base", ["gbpo", "copo", "rover", "r2vpo_dual"])
def test_a_base_whose_loss_reads_more_than_advantages_is_refused(base: str) -> None:
    with pytest.raises(ConfigError, match="beside the advantages, in whose place C stands"):
        pipo(base=base)


@pytest.mark.parametrize("base", ["thr", "nthr", "dcpo"])
def test_a_base_that_tells_tokens_apart_is_refused(base: str) -> None:
    strategy, (batch, _) = pipo(base=base), make_batch()
    with pytest.raises(BatchError, match="C is one number a response"):
        strategy(batch, strategy.init())

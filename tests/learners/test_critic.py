"""The critic by itself: against least squares, and what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.core.errors import BatchError, ConfigError
from concord.functional.gae import value_loss
from concord.learners import Critic, CriticLearner


def a_batch(seed: int = 0, n: int = 8, width: int = 5, hidden: int = 3) -> Rollouts:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, width + 1, (n,), generator=generator)
    columns = {
        "states": torch.randn(n, width, hidden, generator=generator),
        "response_mask": torch.arange(width) < lengths[:, None],
        "lengths": lengths,
    }
    return Rollouts(torch.rand(n, 1, generator=generator), Groups.uniform(n // 4, 4), ("a",), columns)


def taught(critic: CriticLearner, batch: Rollouts, times: int = 1) -> Rollouts:
    for _ in range(times):
        judged = critic.step(batch)
        critic.follow(judged, create("ppo").signal(judged))
    return critic.score(batch)


def test_it_begins_with_nothing_and_comes_to_the_least_squares_of_its_returns() -> None:
    """With lam = 1 and gamma = 1 the return is the score at every token, whatever the critic says."""
    batch = a_batch(n=64)
    critic = Critic(lr=0.2, steps=20, clip=100.0).build(3)
    assert (critic.step(batch).columns["values"] == 0).all()
    method = create("ppo", lam=1.0)
    for _ in range(100):
        judged = critic.step(batch)
        critic.follow(judged, method.signal(judged))
    mask = batch.columns["response_mask"]
    inputs = torch.cat([batch.columns["states"] / 3, torch.ones(*mask.shape, 1)], 2)[mask]
    targets = batch.rewards.expand(mask.shape)[mask]
    best = torch.linalg.lstsq(inputs, targets[:, None]).solution[:, 0]
    found = torch.cat([critic.head.weight[0], critic.head.bias])
    torch.testing.assert_close(found, best, rtol=0, atol=1e-3)


def test_its_steps_are_those_of_verls_loss() -> None:
    """Several, so that the value has moved from what it was at sampling time, and the clip acts."""
    batch = a_batch()
    critic, head = Critic(lr=0.1, steps=4, clip=0.05).build(3), torch.nn.Linear(3, 1)
    head.load_state_dict(critic.head.state_dict())
    optimizer = torch.optim.AdamW(head.parameters(), lr=0.1, weight_decay=0.0)
    judged = critic.step(batch)
    outcome = create("ppo").signal(judged)
    critic.follow(judged, outcome)
    mask, old, returns = batch.columns["response_mask"], judged.columns["values"], outcome.columns["returns"]
    unclipped = 0.0
    for _ in range(4):
        values = torch.where(mask, head(batch.columns["states"] / 3)[..., 0], 0)
        loss = value_loss(values, old, returns, mask, clip=0.05)
        unclipped = value_loss(values, old, returns, mask, clip=1e9).item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() > unclipped + 1e-3
    torch.testing.assert_close(critic.metrics["loss"], loss.detach(), rtol=0, atol=1e-6)
    for found, wanted in zip(critic.head.parameters(), head.parameters(), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_the_value_that_is_told_is_the_mean_over_sampled_tokens_and_there_is_no_loss_before_one() -> None:
    batch = a_batch()
    critic = Critic(lr=0.2, steps=3).build(3)
    taught(critic, batch)
    judged = critic.step(batch)
    mask, values = batch.columns["response_mask"], judged.columns["values"]
    assert critic.metrics["value"].item() == pytest.approx(values[mask].mean().item())
    assert abs(critic.metrics["value"].item()) > 0.01
    assert critic.metrics["loss"].isnan()


def test_off_the_mask_states_may_be_anything() -> None:
    batch = a_batch()
    holed = torch.where(batch.columns["response_mask"][..., None], batch.columns["states"], torch.nan)
    one, other = (Critic().build(3) for _ in range(2))
    torch.testing.assert_close(
        taught(one, batch, 3).columns["values"], taught(other, batch.with_columns(states=holed), 3).columns["values"]
    )


def test_its_state_goes_on_to_the_same_bits() -> None:
    batch, whole, first = a_batch(), Critic().build(3), Critic().build(3)
    taught(whole, batch, 4)
    taught(first, batch, 2)
    second = Critic().build(3)
    second.load_state_dict(first.state_dict())
    taught(second, batch, 2)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())


def test_rollouts_that_were_dropped_teach_nothing() -> None:
    """Whatever their returns say: half of the batch is as if it were not there, the whole as if nothing was."""
    batch, half = a_batch(), torch.arange(8) < 4
    judged = Critic().build(3).step(batch)
    outcome = create("ppo").signal(judged)
    returns = torch.where(half[:, None], outcome.columns["returns"], 100.0)
    some, none, alone = Critic().build(3), Critic().build(3), Critic().build(3)
    some.follow(judged, dataclasses.replace(outcome, keep=half, columns={"returns": returns}))
    first = Rollouts(batch.rewards[:4], Groups.uniform(1, 4), ("a",), {k: v[:4] for k, v in judged.columns.items()})
    alone.follow(first, dataclasses.replace(outcome, keep=half[:4], columns={"returns": returns[:4]}))
    assert all(torch.equal(a, b) for a, b in zip(some.head.parameters(), alone.head.parameters(), strict=True))
    none.follow(judged, dataclasses.replace(outcome, keep=half & ~half, columns={"returns": returns}))
    assert all((p == 0).all() for p in none.head.parameters())


@pytest.mark.parametrize("changes", [{"lr": 0.0}, {"steps": 0}, {"clip": 0.0}, {"warmup": -1}, {"lr": float("nan")}])
def test_numbers_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="need lr and clip above 0"):
        Critic(**changes)  # type: ignore[arg-type]


def test_what_it_cannot_read_is_an_error() -> None:
    batch, critic = a_batch(), Critic().build(3)
    with pytest.raises(BatchError, match=r"'states' must be \(8, 5, 3\), got \(8, 3\)"):
        critic.step(batch.with_columns(states=torch.zeros(8, 3)))
    with pytest.raises(BatchError, match="'states' is not finite at a sampled token"):
        critic.step(batch.with_columns(states=torch.full((8, 5, 3), torch.inf)))
    judged = critic.step(batch)
    with pytest.raises(BatchError, match=r"learns from 'returns', which this chain does not write; it needs a Gae\(\)"):
        critic.follow(judged, create("grpo").signal(judged))

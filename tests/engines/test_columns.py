"""What a chain writes for its loss arrives there: token by token, in columns, and with whole groups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Chain, Groups, Method, Rollouts, Stage, create
from concord.core.catalogue import _ENTRIES, Card, register
from concord.core.errors import ConfigError
from concord.core.signal import Signal
from concord.engines.settings import Settings
from concord.engines.slime.hook import _read
from concord.engines.trl import refill
from concord.engines.trl.check import check_method
from concord.engines.verl.estimator import _settings
from concord.objectives import PolicyBatch, PolicyLoss, PolicyObjective
from concord.stages import Sum
from tests.engines import fading, tiny
from tests.engines.gradients import Step, record
from tests.engines.test_loop import a_loop, same_rollouts


@pytest.fixture(name="fading")
def the_fading_method() -> Iterator[str]:
    with fading.entered() as name:
        yield name


def compare_with_the_loop(steps: list[Step], name: str, **parameters: Any) -> None:
    """The gradients of each step, from the same rollouts in the other engine."""
    policy = tiny.model()
    loop = a_loop(create(name, **parameters), policy)
    for step in steps:
        policy.load_state_dict(step.parameters)
        sampled, batch = same_rollouts(step)
        done = loop.step(sampled, batch)
        torch.testing.assert_close(done.outcome.push.advantages, step.batches[0]["advantages"], rtol=0, atol=1e-5)
        gradient = {name: p.grad for name, p in policy.named_parameters()}
        assert max(float(value.abs().max()) for value in step.gradient.values()) > 1e-2
        torch.testing.assert_close(gradient, step.gradient, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["fading", "gbpo", "real", "r2vpo", "dhpo"])
def test_trl_and_the_plain_loop_take_the_same_step(tmp_path: Path, name: str, fading: str) -> None:
    steps = record(tiny.trainer(tmp_path, method=name, max_steps=2))
    assert steps[0].batches[0]["advantages"].ndim == (2 if name == "fading" else 1)
    compare_with_the_loop(steps, name)


@pytest.mark.parametrize("name", ["fading", "gbpo"])
def test_a_cut_into_micro_batches_and_a_shuffle_change_nothing(tmp_path: Path, name: str, fading: str) -> None:
    whole = record(tiny.trainer(tmp_path / "a", method=name))
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    pieces = record(tiny.trainer(tmp_path / "b", method=name, **cut))
    for one, other in zip(whole, pieces, strict=True):
        torch.testing.assert_close(one.gradient, other.gradient, rtol=0, atol=2e-6)


def test_a_loss_over_groups_sees_each_whole_also_when_the_rollouts_are_used_twice(tmp_path: Path) -> None:
    """TRL shuffles the rows of a batch; the second use is off policy, where the score is not 0."""
    seen: list[PolicyBatch] = []
    trainer = tiny.trainer(tmp_path, method="real", num_iterations=2, max_steps=4, learning_rate=0.5)
    objective = trainer._method.objective

    class Spy:
        whole_groups = every_row = True
        needs_reference = False
        reads = statistics = frozenset[str]()

        def __call__(self, batch: PolicyBatch, totals: Any = None) -> PolicyLoss:
            seen.append(batch)
            return objective(batch, totals)

        def with_penalty(self, penalty: Any) -> Any:
            raise NotImplementedError

    trainer._method = dataclasses.replace(trainer._method, objective=Spy())
    trainer.train()
    assert len(seen) == 4
    for batch in seen:
        assert batch.groups is not None
        assert torch.bincount(batch.groups).tolist() == [4, 4, 4, 4]
        for p in range(4):
            assert batch.advantages[batch.groups == p].sum().abs() < 1e-4
    assert any((batch.logp != batch.old_logp).any() for batch in seen)


def test_a_reference_of_the_methods_own_is_trls(tmp_path: Path) -> None:
    """copg: on policy, where the reference is the policy, its gradient is leave-one-out's."""
    steps = record(
        tiny.trainer(
            tmp_path, method="copg", beta=0.3, max_steps=1, model=tiny.saved_model(tmp_path / "base"),
        )
    )  # fmt: skip
    loop = a_loop(create("rloo", numerics="trl"), tiny.model())
    sampled, batch = same_rollouts(steps[0])
    loop.step(sampled, batch)
    gradient = {name: p.grad for name, p in loop.policy.named_parameters()}
    torch.testing.assert_close(gradient, steps[0].gradient, rtol=0, atol=2e-5)


# ---- What cannot be ----


@pytest.mark.parametrize("changes", [{"method_args": {"beta": 0.3}, "beta": 0.1}, {}, {"method_args": {"beta": 0.3}}])
def test_the_reference_comes_from_trls_own_beta(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="method 'copg' reads a reference model, which TRL loads for its own beta"):
        tiny.config(tmp_path, method="copg", **changes)


def test_a_micro_batch_that_is_not_the_whole_generation_is_refused(tmp_path: Path) -> None:
    cut = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    with pytest.raises(ConfigError, match=r"whole groups, .* these are 1 processes, 4 and 16 rollouts"):
        tiny.trainer(tmp_path, method="real", **cut)
    with pytest.raises(ConfigError, match="these are 2 processes, 16 and 16 rollouts"):
        check_method(create("real"), tiny.config(tmp_path, method="real"), ("a",), 4, 2)


def test_a_column_that_nobody_computes_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'copo' needs columns \['answers'\]; there are .*'response_mask'.*columns="):
        tiny.trainer(tmp_path, method="copo")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("real", "looks at whole groups, for which the engine has no place"),
        ("copg", "looks at whole groups, for which the engine has no place"),
        ("gbpo", r"writes columns \['target'\] for the loss, for which the engine has no place"),
        ("nthr", r"needs columns \['response_mask', 'token_scores'\]; the engine gives"),
        ("dhpo_entropy", r"reads \['entropy'\] of the policy's distribution, for which the engine has no place"),
        ("ppo", "trains a learner beside the policy, which only Concord's trainer for TRL does"),
    ],
)
def test_verl_and_slime_say_before_the_run_what_they_cannot_carry(name: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=rf"concord: method '{name}': .*{complaint}"):
        Settings(name, ("a", "b"))


def test_tokens_told_apart_are_refused_there_too() -> None:
    @dataclass(frozen=True)
    class FirstToken(Stage):
        def apply(self, signal: Signal, batch: Rollouts) -> Signal:
            return signal.to(token_values=signal.values)

    @register(Card("One token", "0000.00000", "A"))
    def one_token() -> Method:
        return Method(Chain((Sum(), FirstToken())), PolicyObjective())

    try:
        with pytest.raises(ConfigError, match="tells the tokens of a response apart"):
            Settings("one_token", ("a",))
    finally:
        del _ENTRIES["one_token"]


def test_where_the_engines_loss_stays_a_method_that_is_a_loss_is_refused() -> None:
    with pytest.raises(ConfigError, match="'dhpo' is a loss, and slime and miles keep their own"):
        _read('{"method": "dhpo", "rewards": ["a"]}')
    with pytest.raises(ConfigError, match="'dhpo': the legacy trainer cannot bring the loss that makes the method"):
        _settings('{"method": "dhpo", "rewards": ["a"]}')
    Settings("dhpo", ("a",))


@pytest.mark.parametrize(("old", "new"), [(2, 3), (3, 2), (3, 3)])
def test_refilled_rollouts_may_be_longer_or_shorter(old: int, new: int) -> None:
    def batch(width: int) -> Rollouts:
        columns = {"response_mask": torch.ones(4, width, dtype=torch.bool)}
        return Rollouts(torch.zeros(4, 1), Groups.uniform(2, 2), ("a",), columns)

    merged = refill.merge(batch(old), batch(new), torch.tensor([2, 3]), torch.tensor([0, 1]))
    mask = merged.column("response_mask")
    assert mask.dtype == torch.bool
    assert mask.sum(1).tolist() == [old, old, new, new]

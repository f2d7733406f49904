"""What a dump and a report are told of a learner."""

from __future__ import annotations

import torch

from concord import Groups, Rollouts, create
from concord.engines.learnt import learner_metrics


def test_the_learners_metrics_and_those_of_the_stages_that_read_it() -> None:
    method = create("clipo", correct="right", base="gdpo")
    assert method.learner is not None
    learner = method.learner.build(4)
    columns = {"hidden": torch.randn(8, 4), "lengths": torch.ones(8)}
    rewards = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [0.0, 1.0]] * 2)
    batch = learner.step(Rollouts(rewards, Groups.uniform(2, 4), ("right", "short"), columns))
    outcome = method.signal(batch)
    found = learner_metrics(method, learner.metrics, outcome)
    assert set(found) == {*learner.metrics, "bonus", "floored"}
    assert found["loss"] is learner.metrics["loss"]
    assert torch.equal(found["bonus"], outcome.metrics["contrastive_channel/bonus"])


def test_without_a_learner_there_is_nothing() -> None:
    method = create("grpo")
    outcome = method.signal(Rollouts(torch.rand(4, 1), Groups.uniform(1, 4), ("right",), {}))
    assert learner_metrics(method, {}, outcome) == {}

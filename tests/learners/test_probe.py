"""The probe learns what it should, lets no gradient go where it should not, and goes on where it stopped."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from concord.functional.mutual_information import club
from concord.learners.probe import Probe


def probe(**changes: Any) -> Probe:
    return Probe(6, **{"hidden": 16, "learning_rate": 1e-2, "seed": 1} | changes)


def rows(count: int = 200, shift: float = 3.0) -> tuple[Tensor, Tensor]:
    """States whose first entry tells the label, the further apart the clearer."""
    labels = torch.randint(0, 2, (count,))
    states = torch.randn(count, 6)
    states[:, 0] += shift * labels
    return states, labels


def test_fit_is_so_many_steps_of_adamw() -> None:
    states, labels = rows(32)
    ours, net = probe(steps=3), probe().net
    adam = torch.optim.AdamW(net.parameters(), lr=1e-2)
    for _ in range(3):
        adam.zero_grad()
        loss = cross_entropy(net(states), labels)
        loss.backward()
        adam.step()
    assert float(ours.fit(states, labels)) == pytest.approx(float(loss.detach()))
    for one, other in zip(ours.net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_fitting_leaves_states_and_information_leaves_the_classifier_alone() -> None:
    states, labels = rows(32)
    states.requires_grad_()
    ours = probe()
    ours.fit(states, labels)
    assert states.grad is None
    before = ours.state_dict()
    ours.information(states, labels).backward()
    assert states.grad is not None
    assert states.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in ours.net.parameters())
    assert all(torch.equal(before[name], value) for name, value in ours.state_dict().items())


def test_information_is_club_of_its_logits() -> None:
    states, labels = rows(32)
    ours = probe()
    torch.testing.assert_close(ours.information(states, labels), club(ours.net(states), labels).detach())


def test_it_sees_dependence_and_on_fresh_rows_no_independence() -> None:
    for shift, low, high in ((3.0, 1.0, math.inf), (0.0, -0.02, 0.02)):
        ours = probe(steps=100)
        ours.fit(*rows(4000, shift))
        assert low < float(ours.information(*rows(4000, shift))) < high


def test_descent_on_the_information_makes_the_states_uninformative() -> None:
    """Two dependent clouds are pulled together: what a fresh classifier reads in them afterwards is far less."""
    states, labels = rows(400)
    learnt = states.clone().requires_grad_()
    ours, descent = probe(), torch.optim.SGD([learnt], lr=20.0)
    for _ in range(60):
        ours.fit(learnt, labels)
        descent.zero_grad()
        ours.information(learnt, labels).backward()
        descent.step()

    def readable(x: Tensor) -> float:
        judge = probe(steps=100, seed=2)
        return 1 - float(judge.fit(x, labels)) / math.log(2)

    assert readable(states) > 0.6
    assert readable(learnt.detach()) < 0.3 * readable(states)


def test_rows_without_labels_do_not_count() -> None:
    states, labels = rows(32)
    one, other = probe(), probe()
    one.fit(states, labels)
    other.fit(torch.cat([states, torch.full((4, 6), torch.nan)]), torch.cat([labels, torch.full((4,), -1)]))
    torch.testing.assert_close(one.state_dict(), other.state_dict())
    before = one.state_dict()
    assert math.isnan(float(one.fit(states, torch.full((32,), -1))))
    assert all(torch.equal(before[name], value) for name, value in one.state_dict().items())


def test_under_autocast_it_stays_in_float32() -> None:
    states, labels = rows(32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        one = probe()
        one.fit(states, labels)
        found = one.information(states, labels)
    other = probe()
    other.fit(states, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, other.information(states, labels))


def test_its_weights_are_its_own_seeds() -> None:
    torch.manual_seed(0)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    one = probe()
    assert torch.equal(torch.rand(1), drawn)  # the global generator is as it was
    torch.manual_seed(5)
    assert torch.equal(one.net[0].weight, probe().net[0].weight)  # type: ignore[arg-type]
    assert not torch.equal(one.net[0].weight, probe(seed=2).net[0].weight)  # type: ignore[arg-type]


def test_it_goes_on_to_the_same_bits() -> None:
    batches = [rows(32) for _ in range(4)]
    whole, part = probe(), probe()
    for batch in batches:
        whole.fit(*batch)
    for batch in batches[:2]:
        part.fit(*batch)
    resumed = probe(seed=9)
    resumed.load_state_dict(part.state_dict())
    for batch in batches[2:]:
        resumed.fit(*batch)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name

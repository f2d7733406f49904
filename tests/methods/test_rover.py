"""ROVER against its authors' numbers, and against REINFORCE."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Chain, Groups, Rollouts, create
from concord.functional.distribution import mean_logp, token_logp
from concord.objectives import PolicyBatch, PolicyObjective, TokenMean, Unclipped
from concord.stages import GroupNormalize

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "rover.json").read_text())
CASES = GOLDEN["cases"]
MASK = torch.tensor(GOLDEN["mask"], dtype=torch.bool)


def stored(name: str) -> torch.Tensor:
    return torch.tensor(GOLDEN[name])


def measured(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the tokens that were sampled, and the mean over the vocabulary, each [B, T], as the engines measure them."""
    distribution, tokens = logits.log_softmax(-1), stored("tokens")
    return token_logp(distribution, tokens), mean_logp(distribution, tokens)


def chain(kind: str) -> Chain:
    """The method's, or what the authors' Math script has in its place."""
    found = create("rover").signal
    return found if kind == "centred" else found.replace("centre", GroupNormalize(1e-6))


def given(kind: str = "centred") -> tuple[PolicyBatch, torch.Tensor]:
    """The authors' batch, and the logits that it hangs on."""
    columns = {"old_mean_logp": stored("old_mean_logp")}
    push = chain(kind)(Rollouts(stored("rewards")[:, None], Groups.of(GOLDEN["groups"]), ("r",), columns)).push
    logits = stored("logits").requires_grad_()
    logp, mean_logp = measured(logits)
    columns, old_logp = push.columns, stored("old_logp")
    return PolicyBatch(logp, old_logp, push.advantages, MASK, columns=columns, mean_logp=mean_logp), logits


@pytest.mark.parametrize("when", ["", "old_"])
def test_the_mean_of_the_log_probabilities_is_the_authors(when: str) -> None:
    logp, mean_logp = measured(stored(f"{when}logits"))
    torch.testing.assert_close(logp, stored(f"{when}logp"), rtol=0, atol=1e-6)
    torch.testing.assert_close(mean_logp, stored(f"{when}mean_logp"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", GOLDEN["advantages"])
def test_advantages_are_the_authors(kind: str) -> None:
    want = torch.tensor(GOLDEN["advantages"][kind])
    torch.testing.assert_close(given(kind)[0].advantages, want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_loss_and_gradient_are_the_authors(case: dict[str, Any]) -> None:
    """The gradient by the logits is that by the sampled tokens' alone: none flows through the target."""
    batch, logits = given(case["advantages"])
    loss = create("rover", rho=case["rho"], bootstrap=case["bootstrap"]).objective(batch).loss
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    by_logp, by_logits = torch.autograd.grad(loss, (batch.logp, logits), retain_graph=True)
    want = torch.tensor(case["grad"])
    torch.testing.assert_close(by_logp, want, rtol=0, atol=1e-6)
    torch.testing.assert_close(by_logits, torch.autograd.grad(batch.logp, logits, want)[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rho", [0.5, 1.0, 3.0])
def test_on_policy_its_gradient_is_reinforces_twice_rho_times(rho: float) -> None:
    batch, _ = given()
    still = dataclasses.replace(batch, old_logp=batch.logp.detach(), mean_logp=stored("old_mean_logp"))
    reinforce = PolicyObjective(surrogate=Unclipped(), reduce=TokenMean())
    one, other = (
        torch.autograd.grad(objective(still).loss, batch.logp, retain_graph=True)[0]
        for objective in (create("rover", rho=rho).objective, reinforce)
    )
    torch.testing.assert_close(one, 2 * rho * other)


def test_the_loop_is_told_what_it_needs() -> None:
    method = create("rover")
    assert method.needs == method.objective.reads == {"old_mean_logp"}
    assert method.objective.statistics == {"mean_logp"}
    assert method.objective.every_row

"""Preference losses and token rewards against the authors' own numbers, float32."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concord.core.catalogue import builder
from concord.objectives import PairBatch, PreferenceObjective, Responses

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "preference.json").read_text())


def read(given: dict[str, Any]) -> tuple[PairBatch, list[torch.Tensor]]:
    sides = []
    for side in ("chosen", "rejected"):
        logp = torch.tensor(given[side], requires_grad=True)
        sides.append(Responses(logp, torch.tensor(given[f"{side}_lengths"]), torch.tensor(given[f"ref_{side}"])))
    return PairBatch(*sides), [side.logp for side in sides]


def each(objective: PreferenceObjective, batch: PairBatch) -> torch.Tensor:
    return objective.loss(objective.score(batch.chosen), objective.score(batch.rejected), batch)


@pytest.mark.parametrize("case", GOLDEN["dpo"], ids=lambda case: f"{case['beta']}-{case['eps']}-{case['ipo']}")
def test_dpo_cdpo_and_ipo(case: dict[str, Any]) -> None:
    batch, leaves = read(GOLDEN["pairs"])
    if case["ipo"]:
        objective = builder("ipo_sum")(beta=case["beta"])
    else:
        objective = builder("cdpo")(beta=case["beta"], eps=case["eps"])
    torch.testing.assert_close(each(objective, batch), torch.tensor(case["losses"]), rtol=1e-6, atol=1e-6)
    loss, metrics, _ = objective(batch)
    for leaf, side in zip(torch.autograd.grad(loss, leaves), ("chosen", "rejected"), strict=True):
        torch.testing.assert_close(leaf, torch.tensor(case[f"{side}_grad"]), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(
            metrics[f"score_{side}"].value(), torch.tensor(case[f"{side}_rewards"]).mean(), rtol=1e-6, atol=1e-6
        )
    if not case["ipo"] and not case["eps"]:
        assert torch.equal(builder("dpo")(beta=case["beta"])(batch).loss, loss)


@pytest.mark.parametrize("case", GOLDEN["rpo"], ids=lambda case: f"{case['beta']}-{case['eta']}")
def test_rpo(case: dict[str, Any]) -> None:
    batch, leaves = read(GOLDEN["pairs"])
    loss = builder("rpo")(beta=case["beta"], eta=case["eta"])(batch).loss
    torch.testing.assert_close(loss, torch.tensor(case["losses"]).mean(), rtol=1e-6, atol=1e-6)
    for leaf, side in zip(torch.autograd.grad(loss, leaves), ("chosen", "rejected"), strict=True):
        torch.testing.assert_close(leaf, torch.tensor(case[f"{side}_grad"]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", GOLDEN["rpo_mean"]["cases"], ids=lambda case: f"{case['beta']}-{case['coef']}")
def test_rpo_in_the_other_branch(case: dict[str, Any]) -> None:
    batch, _ = read(GOLDEN["rpo_mean"])
    loss = builder("rpo_mean")(beta=case["beta"], coef=case["coef"])(batch).loss
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN["rto"]["cases"], ids=lambda case: f"{case['scale']}-{case['clip']}")
def test_rto(case: dict[str, Any]) -> None:
    given = GOLDEN["rto"]
    logp, dpo, ref = (torch.tensor(given[name]) for name in ("logp", "dpo_logp", "ref_logp"))
    mask = torch.arange(logp.shape[1]) < torch.tensor(given["lengths"])[:, None]
    reward = builder("rto")(scale=case["scale"], bound=case["clip"] or None, kl=case["kl"])
    got = reward(torch.tensor(given["rewards"]), logp, dpo, ref, mask)
    torch.testing.assert_close(got, torch.tensor(case["reward"]), rtol=1e-6, atol=1e-6)

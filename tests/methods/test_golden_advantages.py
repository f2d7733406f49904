"""BNPO, ADORA, RiskPO, COPO and DCPO against numbers of their authors' own functions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from concord import Groups, Rollouts, create
from concord.objectives import PolicyBatch

GOLDEN = Path(__file__).parents[1] / "golden"


def cases(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((GOLDEN / f"{name}.json").read_text())["cases"]
    return found


def rollouts(case: dict[str, Any], **columns: Tensor) -> Rollouts:
    rewards = torch.tensor(case["rewards"])[:, None]
    return Rollouts(rewards, Groups.of(case["ids"]), ("score",), columns)


def close(got: Tensor, want: list[Any], rtol: float = 1e-5, atol: float = 1e-5) -> None:
    torch.testing.assert_close(got, torch.tensor(want), rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", cases("bnpo"), ids=range(4))
def test_bnpo(case: dict[str, Any]) -> None:
    close(create("bnpo").signal(rollouts(case)).advantages, case["advantages"], rtol=2e-5)


@pytest.mark.parametrize("case", cases("adora"), ids=lambda case: case["rule"])
def test_adora(case: dict[str, Any]) -> None:
    method = create("adora", **{key: case[key] for key in ("rule", "threshold", "max_length")})
    close(method.signal(rollouts(case, lengths=torch.tensor(case["lengths"]))).advantages, case["advantages"])


@pytest.mark.parametrize("case", cases("risk_po"), ids=lambda case: f"{case['rule']}-{case['quantiles']}")
def test_risk_po(case: dict[str, Any]) -> None:
    state = None if case["quantiles"] is None else (None, None, torch.tensor(case["quantiles"]))
    close(create("risk_po", rule=case["rule"]).signal(rollouts(case), state).advantages, case["advantages"])


@pytest.mark.parametrize("case", cases("copo"), ids=range(2))
def test_copo(case: dict[str, Any]) -> None:
    method = create("copo")
    outcome = method.signal(rollouts(case, answers=torch.tensor(case["answers"])))
    close(outcome.columns["local_advantage"], case["local"])
    close(outcome.columns["global_advantage"], case["glob"])
    close(outcome.columns["local_weight"], case["weight"])
    logp = torch.tensor(case["logp"], requires_grad=True)
    mask = torch.arange(logp.shape[1]) < torch.tensor(case["lengths"])[:, None]
    batch = PolicyBatch(
        logp, torch.tensor(case["old_logp"]), outcome.advantages, mask, columns=dict(outcome.push.columns)
    )
    loss = method.objective(batch).loss
    loss.backward()
    close(loss.detach(), case["loss"])
    close(logp.grad, case["gradient"], atol=1e-7)


@pytest.mark.parametrize("case", cases("dcpo"), ids=lambda case: f"entropy {case['entropy']}")
def test_dcpo(case: dict[str, Any]) -> None:
    old, tempered = torch.tensor(case["old_logp"]), torch.tensor(case["tempered_logp"])
    mask = torch.arange(old.shape[1]) < torch.tensor(case["lengths"])[:, None]
    batch = rollouts(case, old_logp=old, tempered_logp=tempered, response_mask=mask)
    outcome = create("dcpo").signal(batch, (None, None, None, case["entropy"]))
    # Some groups differ by 0.01 only; there the authors' float32 mean is felt.
    close(outcome.push.advantages, case["token_advantages"], atol=3e-5)

"""GSPO-token against verl's numbers, and against GSPO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import create
from concord.objectives import PolicyBatch

CASES = json.loads((Path(__file__).parents[1] / "golden" / "gspo_token.json").read_text())["cases"]


def batch(case: dict[str, Any], dtype: torch.dtype = torch.float32) -> PolicyBatch:
    logp = torch.tensor(case["logp"], dtype=dtype, requires_grad=True)
    mask = torch.arange(logp.shape[1]) < torch.tensor(case["lengths"])[:, None]
    advantages = torch.tensor(case["advantages"], dtype=dtype)
    return PolicyBatch(logp, torch.tensor(case["old_logp"], dtype=dtype), advantages, mask)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_loss_and_gradient_are_verls(case: dict[str, Any]) -> None:
    given = batch(case)
    loss = create("gspo_token", clip_low=case["low"], clip_high=case["high"]).objective(given).loss
    assert loss.item() == pytest.approx(case["loss"], abs=1e-6)
    torch.testing.assert_close(torch.autograd.grad(loss, given.logp)[0], torch.tensor(case["grad"]), rtol=0, atol=1e-6)


def test_with_one_advantage_a_response_it_is_gspo() -> None:
    for case in CASES[:2]:
        results = []
        for name in ("gspo", "gspo_token"):
            given = batch(case, torch.float64)
            loss = create(name, clip_low=case["low"], clip_high=case["high"]).objective(given).loss
            results.append((loss.detach(), torch.autograd.grad(loss, given.logp)[0]))
        torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-12)

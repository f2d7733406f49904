"""Turns, filters and progress against the authors' own numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.functional.filtration import filter_weights
from concord.functional.progress import progress, shares
from concord.stages import PlaceTurnRewards


def golden(name: str) -> Any:
    return json.loads((Path(__file__).parents[1] / "golden" / f"{name}.json").read_text())


def test_rlvmr() -> None:
    g = golden("rlvmr")
    rewards = torch.tensor([g["outcome"], g["step"]]).T
    batch = Rollouts(rewards, Groups.of(g["groups"]), ("won", "step"), {"tag": torch.tensor(g["tag"])})
    want = torch.tensor(g["advantages"])
    torch.testing.assert_close(create("rlvmr").signal(batch).advantages, want, rtol=0, atol=1e-5)
    torch.testing.assert_close(create("rlvmr", step_reward="step").signal(batch).advantages, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize("case", golden("igpo")["cases"], ids=lambda case: f"{case['norm']}-{case['gamma']}")
def test_igpo(case: dict[str, Any]) -> None:
    g = golden("igpo")
    logp = torch.tensor([g["before"], g["after"]]).T.log()
    columns = {"trajectory": torch.tensor(g["trajectory"]), "turn": torch.tensor(g["turn"]), "answer_logp": logp}
    batch = Rollouts(torch.tensor(g["outcome"])[:, None], Groups.of(g["groups"]), ("f1",), columns)
    got = create("igpo", norm=case["norm"], gamma=case["gamma"]).signal(batch).advantages
    torch.testing.assert_close(got, torch.tensor(case["advantages"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rule", "unit"), [("power", 1.0), ("best_worst", 1.0), ("best_random", 0.4)])
def test_the_odds_of_pf_ppo(rule: str, unit: float) -> None:
    g = golden("pf_ppo")
    score = torch.tensor(g["rewards"])
    got = filter_weights(score, Groups.of(g["groups"]), torch.ones_like(score, dtype=torch.bool), rule)  # type: ignore[arg-type]
    torch.testing.assert_close(unit * got, torch.tensor(g[rule]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", golden("pipo")["cases"], ids=lambda case: f"mean {case['mean']}")
def test_the_coefficients_of_pipo_up_to_the_deviations_convention(case: dict[str, Any]) -> None:
    g = golden("pipo")
    K = len(g["history"])
    xi = progress(torch.tensor(case["mean"]), torch.tensor(g["history"])) * (K / (K - 1)) ** 0.5
    assert xi.item() == pytest.approx(case["xi"], abs=1e-5)
    got = xi * shares(torch.tensor(g["advantages"]), Groups.of(g["groups"]))
    torch.testing.assert_close(got, torch.tensor(case["coefficients"]), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("paid", "won", "want"),
    [([0, 1, 1], 1.0, [0, 0.5, 0.5]), ([0, 1, 1], 0.0, [0, 0.25, 0.25]), ([0, 0, 0], 1.0, [0, 0, 0])],
)
def test_turn_rewards_are_placed_as_the_authors_place_them(paid: list[float], won: float, want: list[float]) -> None:
    """Printed by pearls-lab/meow-tea-taro@a9c248c, agentic_verified.py, with at most four rewards."""
    columns = {"turn_rewards": torch.tensor([paid])}
    batch = Rollouts(torch.tensor([[won]]), Groups.uniform(1, 1), ("won",), columns)
    chain = type(create("grpo").signal)((PlaceTurnRewards(4),))
    assert chain(batch).push.advantages.tolist() == [want]


def test_a_turn_whose_reward_is_missing_is_paid_nothing() -> None:
    paid = torch.tensor([[0.0, torch.nan, 1.0]])
    batch = Rollouts(torch.tensor([[1.0]]), Groups.uniform(1, 1), ("won",), {"turn_rewards": paid})
    assert type(create("grpo").signal)((PlaceTurnRewards(4),))(batch).push.advantages.tolist() == [[0, 0, 1]]

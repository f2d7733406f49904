"""Cooper: pairs out of rollouts, and a reward model that learns from them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from concord.core.errors import BatchError, ConfigError
from concord.strategies import OnlineRewardModel, Pair, cooper, right_and_wrong


class Model(nn.Module):
    """A logit that is linear in how often a text holds the letters r and w."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.1, 0.2]))

    def forward(self, texts: Sequence[str]) -> Tensor:
        counts = torch.tensor([[float(t.count("R")), float(t.count("W"))] for t in texts])
        return counts @ self.weight


def made(model: nn.Module, **changes: Any) -> OnlineRewardModel:
    parts: dict[str, Any] = {
        "rule": lambda text, answer: float(answer in text),
        "corrupt": lambda question, text: text.replace("R", "W"),
        "differs": lambda a, b: a != b,
        "learning_rate": 0.1,
    }
    return cooper(model, model.parameters(), **parts | changes)


def pairs_of(scores: Sequence[float], **changes: Any) -> list[Pair]:
    parts: dict[str, Any] = {"corrupt": lambda question, text: "no " + text, "differs": lambda a, b: True}
    responses = [f"y{i}" for i in range(4)]
    return right_and_wrong(["p", "q", "p", "q"], ["1", "2", "1", "2"], responses, scores, **parts | changes)


def test_chosen_is_the_first_right_response_in_the_order_of_the_batch() -> None:
    assert pairs_of([0, 1, 1, 1]) == [Pair("p", "1", "y2", "no y2", True), Pair("q", "2", "y1", "no y1", True)]


@pytest.mark.parametrize("score", [0.0, 0.99, 1.01, math.nan])
def test_without_a_score_of_exactly_1_the_first_response_is_taken_and_the_pair_not_valid(score: float) -> None:
    asked: list[str] = []
    found = pairs_of([score] * 4, corrupt=lambda question, text: asked.append(text))
    assert found == [Pair("p", "1", "y0", "y0", False), Pair("q", "2", "y1", "y1", False)]
    assert asked == []


@pytest.mark.parametrize(("works", "calls"), [(1, 1), (3, 3), (4, 3)])
def test_the_assistant_has_three_tries(works: int, calls: int) -> None:
    tries: list[str | None] = []

    def corrupt(question: str, text: str) -> str | None:
        tries.append(text)
        return None if len(tries) < works else "wrong"

    (pair, _) = pairs_of([1, 0, 0, 0], corrupt=corrupt)
    assert len(tries) == calls
    assert (pair.valid, pair.rejected) == ((True, "wrong") if works <= 3 else (False, "y0"))


def test_an_assistant_that_changes_nothing_does_not_move_the_model() -> None:
    model = Model()
    before = model.weight.clone()
    reward = made(model, corrupt=lambda question, text: text)
    for _ in range(3):
        reward(["p", "p"], ["R", "R 4"], answer=["4", "4"])
    assert not reward.pairs[0].valid
    assert reward.loss == 0
    assert torch.equal(model.weight, before)


def test_scores_come_before_what_is_learnt_of_their_batch() -> None:
    model = Model()
    reward = made(model)
    args = (["p", "p", "q"], ["R 4", "R", "R 5"])
    first = reward(*args, answer=["4", "4", None])
    assert first == pytest.approx([1 / (1 + math.exp(-0.1))] * 2 + [None])  # type: ignore[list-item]
    assert reward.loss is None
    second = reward(*args, answer=["4", "4", None])
    assert reward.loss == pytest.approx(math.log1p(math.exp(0.2 - 0.1)))
    assert second[0] > first[0]  # type: ignore[operator]
    assert model.weight[0] > 0.1
    assert model.weight[1] < 0.2


def test_the_loss_is_the_mean_over_micro_batches_of_the_means_over_their_valid_pairs() -> None:
    """Two micro-batches, of which the second has one valid pair: it counts as much as the first's two."""
    texts = [("R", "W", True), ("RR", "W", True), ("R", "WW", True), ("R", "R", False)]
    pairs = [Pair("", "", *text) for text in texts]
    losses = [math.log1p(math.exp(0.2 * b.count("W") + 0.1 * b.count("R") - 0.1 * a.count("R"))) for a, b, _ in texts]
    expected = ((losses[0] + losses[1]) / 2 + losses[2]) / 2
    assert made(Model(), micro_batch=2).learn(pairs) == pytest.approx(expected)


def test_a_gradient_that_is_not_finite_is_passed_over() -> None:
    model = Model()
    before = model.weight.clone()
    reward = made(model)
    reward._logits = lambda texts: model(texts) * math.inf
    assert math.isnan(reward.learn([Pair("", "", "R", "W", True)]))
    assert torch.equal(model.weight, before)


def test_wrong_parts_are_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to train"):
        cooper(Model(), [], rule=lambda a, b: 0.0, corrupt=lambda a, b: None, differs=lambda a, b: True)
    with pytest.raises(ConfigError, match="micro_batch"):
        made(Model(), micro_batch=0)
    with pytest.raises(BatchError, match=r"\[1, 2\]"):
        right_and_wrong(["p"], ["1"], ["y"], [1, 1], lambda a, b: None, lambda a, b: True)

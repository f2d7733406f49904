"""GRACE as a reward function; its terms are tested with their formula."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from concord import Groups
from concord.core.errors import ConfigError, RewardError
from concord.functional.resemblance import resemblance
from concord.rewards.published import grace

PROMPTS = ["p", "r", "p", "r", "p"]
TEXTS = ["one", "two", "three", "four", "five"]
QUERY = ["first" if prompt == "p" else "second" for prompt in PROMPTS]


def embed(texts: Sequence[str]) -> Tensor:
    return torch.stack([torch.randn(4, generator=torch.Generator().manual_seed(sum(map(ord, t)))) for t in texts])


def test_it_is_the_formula_on_the_embeddings() -> None:
    found = grace(embed)(PROMPTS, TEXTS, query=QUERY, negative=["far"] * 5)
    terms = resemblance(embed(QUERY), embed(TEXTS), embed(["far"] * 5), Groups.of(PROMPTS))
    assert found == pytest.approx(terms.total().tolist())


def test_another_negative_moves_every_rollout_of_a_group_alike() -> None:
    one, other = (grace(embed)(PROMPTS, TEXTS, query=QUERY, negative=[text] * 5) for text in ("far", "off"))
    moved = [a - b for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    assert moved[0] == pytest.approx(moved[2]) == pytest.approx(moved[4])
    assert moved[0] != pytest.approx(0)


def test_without_a_query_it_abstains_and_without_a_negative_there_is_no_such_term() -> None:
    found = grace(embed)(["p", "p"], ["one", "two"], query=["first", None], negative=[None, None])
    terms = resemblance(embed(["first"] * 2), embed(["one", "two"]), torch.zeros(2, 4), Groups.uniform(1, 2))
    assert found == [pytest.approx(terms.total()[0].item()), None]


def test_what_embed_returns_is_checked() -> None:
    with pytest.raises(RewardError, match=r"3 texts and returned \(2, 4\)"):
        grace(lambda texts: torch.zeros(2, 4))(["p"], ["y"], query=["q"], negative=["h"])
    with pytest.raises(ConfigError, match="temperature"):
        grace(embed, temperature=0.0)

"""What every published reward and strategy promises. Register one, and it is asked the same."""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from concord import create, info, names
from concord.core.catalogue import builder
from concord.core.errors import ConfigError
from concord.core.status import ABSTAINED, SCORED
from concord.rewards import NamedReward, RewardBatch, RewardSet
from concord.rewards.published import Layout
from concord.strategies import Hints, Recycler, Replay, Revisions, Solved

PUBLISHED = [name for name in names("*", "reward") if builder(name).__module__.startswith("concord.rewards.published")]
STRATEGIES = [name for name in names("*", "strategy") if builder(name).__module__.startswith("concord.strategies")]

COLUMNS: dict[str, list[Any]] = {
    "answer": ["4", "4", "6", "6"],
    "query": ["two and two"] * 2 + ["three and three"] * 2,
    "negative": ["a poem"] * 4,
    "source": ["verifiable"] * 4,
}
PROMPTS = ["2 + 2?"] * 2 + ["3 + 3?"] * 2
TEXTS = ["it is 4", "it is 5", "", "6"]


def embed(texts: Sequence[str]) -> Tensor:
    return torch.stack([torch.randn(8, generator=torch.Generator().manual_seed(sum(map(ord, t)))) for t in texts])


def logits(texts: Sequence[str]) -> Tensor:
    return WEIGHT * torch.tensor([len(text) / 100 for text in texts])


WEIGHT = torch.nn.Parameter(torch.tensor(1.0))

PARTS: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "cooper": (
        (logits, [WEIGHT]),
        {
            "rule": lambda text, answer: float(answer in text),
            "corrupt": lambda question, text: text + "!",
            "differs": lambda a, b: True,
        },
    ),
    "grace": ((embed,), {}),
    "mpo": ((lambda prompt: "3", lambda prompt: "clarity", ["style"]), {}),
    "oni": ((lambda messages: [1.0] * len(messages),), {}),
    "polar": ((lambda text: [ord(c) for c in text], lambda rows: [len(row) / 10 for row in rows], Layout(0, 1)), {}),
    "replay": ((), {"size": 4}),
    "urpo": ((lambda text, answer: float(answer in text), lambda prompt, texts: [0.5] * len(texts)), {}),
    "verify_rm": ((logits,), {}),
}
"""What a builder must be given, as stubs."""

REWARDS = [*PUBLISHED, "cooper"]
each_reward = pytest.mark.parametrize("name", REWARDS)
each = pytest.mark.parametrize("name", [*PUBLISHED, *STRATEGIES])


def build(name: str) -> Any:
    positional, named = PARTS.get(name, ((), {}))
    return builder(name)(*positional, **named)


def batch(rows: slice = slice(None), **columns: list[Any]) -> RewardBatch:
    chosen = {key: values[rows] for key, values in {**COLUMNS, **columns}.items()}
    return RewardBatch(PROMPTS[rows], TEXTS[rows], columns=chosen)


def scored(name: str, rows: RewardBatch) -> tuple[list[float | None], list[str]]:
    found = RewardSet([NamedReward(name, build(name))]).score(rows)
    return found.values[name], found.statuses[name]


@each_reward
def test_it_is_a_reward_function_in_trls_form(name: str) -> None:
    reward = NamedReward(name, build(name))
    assert RewardSet([reward]).forms[name].startswith("trl (")
    values, statuses = scored(name, batch())
    assert statuses == [SCORED] * 4
    assert all(isinstance(value, float) for value in values)


@each_reward
def test_text_and_messages_are_worth_the_same(name: str) -> None:
    plain = batch()
    chat = RewardBatch(
        plain.prompts, [[{"role": "assistant", "content": text}] for text in TEXTS], columns=plain.columns
    )
    assert scored(name, chat)[0] == scored(name, plain)[0]


@each_reward
def test_an_empty_batch_has_no_scores(name: str) -> None:
    assert scored(name, batch(slice(0, 0))) == ([], [])


@each_reward
def test_a_single_rollout_is_scored(name: str) -> None:
    assert scored(name, batch(slice(0, 1)))[1] == [SCORED]


@each_reward
def test_what_is_missing_in_the_data_is_abstained_from_row_by_row(name: str) -> None:
    """Each column that it reads, missing in the last row: a score or an abstention there, no fault, no other row."""
    read = [column for column in COLUMNS if column in inspect.signature(build(name).__call__).parameters]
    for column in [c for c in read if c != "source"]:
        values, statuses = scored(name, batch(**{column: [*COLUMNS[column][:3], None]}))
        assert statuses[:3] == [SCORED] * 3
        assert statuses[3] in (SCORED, ABSTAINED)
        assert (values[3] is None) == (statuses[3] == ABSTAINED)


@each_reward
def test_no_gradient_is_left_behind_by_scoring(name: str) -> None:
    WEIGHT.grad = None
    scored(name, batch())
    assert WEIGHT.grad is None


def _recycled(made: Recycler) -> bool:
    group = Solved("q", "t", ["y", "z"], ["1", "2"], [True, False])
    return len(made.recycle([group] * 3, random.Random(0))) > 3


def _hinted(made: Hints) -> bool:
    return made.roll_out(["p"], ["solution"], lambda which, prompts: [(["y"], [0.0])])[0].share == made.shares[-1]


def _kept(made: Replay[object]) -> bool:
    made.add(range(9))
    return len(made.sample(3)) == 3


RUNS: dict[str, Callable[[Any], bool]] = {
    "cooper": lambda made: made(PROMPTS, TEXTS, **COLUMNS)[0] > 0.5,
    "curriculum": lambda made: made.order([3.0, 1.0, 2.0]) == [1, 2, 0],
    "ghpo": _hinted,
    "herl": lambda made: isinstance(made, Revisions) and made.drafts([0.5, 0.2]) == [0],
    "replay": _kept,
    "spark": _recycled,
}
"""One plain use of each strategy; what is asked of it in detail stands beside its code."""


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_runs_on_plain_values(name: str) -> None:
    assert RUNS[name](build(name))


@each
def test_the_card_and_the_docstring_say_where_it_comes_from(name: str) -> None:
    card, text = info(name), inspect.getdoc(builder(name)) or ""
    assert card.title
    assert card.formula
    assert len(card.arxiv.split(".")) == 2
    assert card.arxiv in text
    assert "Source: " in text
    assert "    " in text.split("\n\n")[1], "a formula or a use, set apart, comes after the summary"
    assert card.certainty == "high" or "Assumed" in text
    for parameter in inspect.signature(builder(name)).parameters:
        assert f"    {parameter}:" in text or f" {parameter}:" in text or f" {parameter}, " in text, parameter


@each
def test_create_says_that_it_is_no_method(name: str) -> None:
    positional, named = PARTS.get(name, ((), {}))
    if not positional:
        with pytest.raises(ConfigError, match=f"{name!r} is a {info(name).kind}"):
            create(name, **named)


@each
def test_an_unknown_parameter_is_a_type_error(name: str) -> None:
    with pytest.raises(TypeError, match="tua"):
        builder(name)(*PARTS.get(name, ((), {}))[0], **PARTS.get(name, ((), {}))[1], tua=0.5)

"""OpenRLHF's form, and the same over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from concord.core.errors import ConfigError, MissingColumn
from concord.rewards.forms.form import Unreadable
from concord.rewards.forms.openrlhf import OpenRLHF
from tests.rewards.forms.asking import CHATS, ask, with_columns


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **kwargs: Any) -> dict[str, Any]:
    said = [query[len(prompt) :] for query, prompt in zip(queries, prompts, strict=True)]
    rewards = torch.tensor([float(s == label) for s, label in zip(said, labels, strict=True)])
    return {
        "rewards": rewards,
        "scores": rewards.clamp(0, 1),
        "extra_logs": {"length": torch.tensor([len(s) for s in said]), "accuracy": rewards.mean(), "rewards": rewards},
    }


def test_the_mapping_gives_rewards_scores_and_logs_that_have_one_entry_each() -> None:
    assert ask(reward_func) == {"rewards": [1.0, 0.0, 1.0], "scores": [1.0, 0.0, 1.0], "length": [1, 3, 1]}


@pytest.mark.parametrize("column", ["label", "labels", "answer"])
def test_labels_come_from_any_of_three_columns(column: str) -> None:
    assert ask(reward_func, with_columns(**{column: ["2", "two", "2"]}))["rewards"] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize("value", [[1, None, 0], torch.tensor([1, 2, 0])])
def test_a_bare_list_of_rewards(value: Any) -> None:
    assert OpenRLHF().read(value, 3) == {"rewards": list(value)}


def test_messages_become_text_and_queries_begin_with_their_prompts() -> None:
    def shows(queries: list[str], prompts: list[str], labels: list[str]) -> list[Any]:
        return list(zip(queries, prompts, labels, strict=True))

    assert ask(shows, CHATS)["rewards"] == [("Count.\n1 + 1?\n2", "Count.\n1 + 1?\n", "2")]


def test_the_three_go_by_position_whatever_their_names() -> None:
    def reward(q: list[str], p: list[str], gold: list[str], scale: float = 1.0) -> list[float]:
        return [scale * (query == prompt + g) for query, prompt, g in zip(q, p, gold, strict=True)]

    assert ask(reward, form="openrlhf", scale=2.0) == {"rewards": [2.0, 0.0, 2.0]}


def test_labels_that_no_column_has() -> None:
    with pytest.raises(MissingColumn, match="reads 'labels', and the data have no column 'label' or 'labels' or 'ans"):
        ask(reward_func, with_columns(solution=["2", "2", "5"]))

    def length(queries: list[str], prompts: list[str], labels: list[str] | None = None) -> list[int]:
        assert labels is None
        return [len(query) - len(prompt) for query, prompt in zip(queries, prompts, strict=True)]

    assert ask(length, with_columns(solution=["2", "2", "5"])) == {"rewards": [1, 3, 1]}


class Remote:
    """The shape of a client for a reward server."""

    async def __call__(self, queries: list[str], prompts: list[str], labels: list[str] | None = None) -> dict[str, Any]:
        return {"rewards": [float(len(query)) for query in queries], "scores": None, "extra_logs": None}


def test_a_client_of_a_server_has_the_form() -> None:
    assert ask(Remote(), with_columns()) == {"rewards": [7.0, 9.0, 7.0]}


def test_options_and_what_it_needs_are_checked() -> None:
    def needs(queries: Any, prompts: Any, labels: Any, judge: str) -> list[str]:
        return [judge] * len(queries)

    assert ask(needs, judge="me") == {"rewards": ["me"] * 3}
    with pytest.raises(ConfigError, match="needs 'judge', which OpenRLHF does not pass"):
        ask(needs)
    with pytest.raises(ConfigError, match="takes no option 'jugde'; did you mean 'judge'"):
        ask(needs, jugde="me")
    with pytest.raises(ConfigError, match=r"option 'labels' of needs.. is what OpenRLHF passes itself"):
        ask(needs, judge="me", labels=[])
    with pytest.raises(ConfigError, match=r"few\(\) takes 1 of what OpenRLHF passes: queries, prompts, labels"):
        OpenRLHF().bind(few, {})


def few(queries: Any, **kwargs: Any) -> None: ...


@pytest.mark.parametrize(
    "value",
    [
        {"scores": [1.0] * 3},
        {"rewards": [1.0] * 2},
        {"rewards": 1.0},
        {"rewards": [1.0] * 3, "scores": [1.0]},
        {"rewards": [1.0] * 3, "extra_logs": [1.0] * 3},
        {"rewards": [1.0] * 3, "extra_logs": {"odd": [1.0]}},
        1.0,
        "rewards",
        None,
    ],
)
def test_what_cannot_be_read(value: Any) -> None:
    with pytest.raises(Unreadable, match="returned"):
        OpenRLHF().read(value, 3)

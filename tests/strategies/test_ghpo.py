"""GHPO: who is hinted, how far, and what is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from concord.core.errors import BatchError, ConfigError
from concord.strategies import ghpo
from concord.strategies.ghpo import Prompt, Rollout, Sample

SOLUTION = "0123456789"


def scripted(solved_at: dict[str, int], calls: list[list[str]]) -> Sample:
    """Groups of two; a question is solved once it shows this many characters of the solution."""

    def sample(which: Sequence[int], texts: Sequence[Prompt]) -> list[tuple[list[str], list[float]]]:
        prompts = list(map(str, texts))
        assert [list(solved_at)[i] for i in which] == [prompt.split()[0] for prompt in prompts]
        calls.append(prompts)
        shown = [len(prompt.partition("HINT\n")[2]) for prompt in prompts]
        won = [n >= solved_at[prompt.split()[0]] for n, prompt in zip(shown, prompts, strict=True)]
        return [([f"y {n}", "z"], [float(right), 0.0]) for n, right in zip(shown, won, strict=True)]

    return sample


def test_each_group_is_hinted_until_one_of_it_succeeds() -> None:
    calls: list[list[str]] = []
    limits = {"none": 0, "two": 2, "five": 5, "never": 99}
    found = ghpo(lead="HINT").roll_out(list(limits), [SOLUTION] * 4, scripted(limits, calls))
    assert [rollout.share for rollout in found] == [0, 0.25, 0.5, 0.75]
    assert [[prompt.split()[0] for prompt in call] for call in calls] == [
        ["none", "two", "five", "never"],
        ["two", "five", "never"],
        ["five", "never"],
        ["never"],
    ]
    assert [rollout.failed for rollout in found] == [False, False, False, True]
    # round(2.5) = 2, as in the authors' code; the prompt trained on is the one sampled from.
    assert found[1] == Rollout("two\n\nHINT\n01", 0.25, ["y 2", "z"], [1.0, 0.0])
    assert str(found[3].prompt).endswith("HINT\n01234567")


def test_without_a_solution_there_is_no_hint() -> None:
    calls: list[list[str]] = []
    found = ghpo().roll_out(["a", "b"], [None, ""], scripted({"a": 1, "b": 1}, calls))
    assert len(calls) == 1
    assert [rollout.share for rollout in found] == [0, 0]
    assert ghpo().roll_out([], [], scripted({}, calls)) == []


@pytest.mark.parametrize(
    ("rewards", "failed"), [([0.0, 0.0], True), ([-1.0, 1e-9], False), ([math.nan, 0], True), ([], True)]
)
def test_a_group_fails_where_nothing_is_above_0(rewards: list[float], failed: bool) -> None:
    assert Rollout("p", 0.0, [], rewards).failed is failed


@pytest.mark.parametrize("shares", [(0.5, 0.25), (0.0, 0.5), (0.5, 0.5), (0.5, 1.1)])
def test_shares_rise(shares: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="rise"):
        ghpo(shares=shares)


def test_what_does_not_match_is_refused() -> None:
    with pytest.raises(BatchError, match="1 prompts and 0 solutions"):
        ghpo().roll_out(["a"], [], lambda which, prompts: [])
    with pytest.raises(BatchError, match="1 prompts and returned 0 groups"):
        ghpo().roll_out(["a"], ["s"], lambda which, prompts: [])


def test_of_messages_the_last_is_hinted_and_the_others_stay() -> None:
    prompt = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    hinted = ghpo(lead="HINT").hinted(prompt, "four", 0.5)
    assert hinted == [prompt[0], {"role": "user", "content": "2 + 2?\n\nHINT\nfo"}]
    assert prompt[1]["content"] == "2 + 2?"

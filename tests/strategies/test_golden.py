"""GHPO and SPARK against the authors' own code."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from concord import Groups, Rollouts, create
from concord.strategies import Item, Solved, ghpo, spark
from concord.strategies.ghpo import Prompt


def golden(name: str) -> Any:
    return json.loads((Path(__file__).parents[1] / "golden" / f"{name}.json").read_text())


@pytest.mark.parametrize("case", golden("ghpo")["cases"], ids=lambda case: f"{len(case['calls'])} rounds")
def test_ghpo_hints_the_same_groups_as_far(case: dict[str, Any]) -> None:
    questions = case["questions"]
    calls: list[list[list[Any]]] = []

    def shown(prompt: Prompt) -> int:
        return len(str(prompt).partition("HINT\n")[2])

    def sample(which: Sequence[int], prompts: Sequence[Prompt]) -> list[tuple[list[str], list[float]]]:
        asked = [questions[i] for i in which]
        calls.append([[q["name"], shown(prompt)] for q, prompt in zip(asked, prompts, strict=True)])
        return [
            (["y"] * 4, q["rewards"] if n >= q["needs"] else [q["else"]] * 4)
            for q, (_, n) in zip(asked, calls[-1], strict=True)
        ]

    found = ghpo(lead="HINT").roll_out([q["name"] for q in questions], [q["solution"] for q in questions], sample)
    assert calls == case["calls"]
    assert [shown(rollout.prompt) for rollout in found] == case["sampled_with"]
    rewards = torch.tensor([rollout.rewards for rollout in found])
    torch.testing.assert_close(rewards, torch.tensor(case["rewards"]), rtol=0, atol=0)
    batch = Rollouts(rewards.reshape(-1, 1), Groups.uniform(len(found), 4), ("accuracy",))
    advantages = create("grpo", numerics="trl").signal(batch).advantages
    torch.testing.assert_close(advantages.reshape(-1, 4), torch.tensor(case["advantages"]), rtol=0, atol=1e-6)
    # Theirs trains on the hint only where the last round gave it.
    last = dict(case["calls"][-1])
    assert [last.get(q["name"], 0) for q in questions] == case["trained_with"]


Drawn = tuple[int, str, tuple[int, ...], str]
"""Group, kind, the responses or answers shown in their order, and the label."""


def drawn(groups: dict[int, dict[str, Any]], seed: int, most: int = 32) -> Iterator[Drawn]:
    made = [
        Solved(
            f"q{g}",
            f"truth{g}",
            [f"because q{g}a{i}" for i in range(8)],
            [f"q{g}a{i}" if readable else None for i, readable in enumerate(group["readable"])],
            [bool(right) for right in group["correct"]],
        )
        for g, group in groups.items()
    ]
    for item in spark(most=most).recycle(made, random.Random(seed)):
        members = re.findall(r"q(\d+)a(\d)", item.prompt)
        yield int(members[0][0]), _kind(item), tuple(int(i) for _, i in members), item.answer


def _kind(item: Item) -> str:
    if item.kind != "reflection":
        return item.kind
    return "whole" if "because" in item.prompt else "answer"


def kept(group: dict[str, Any], kind: str, shown: Sequence[int]) -> float:
    """The share of the authors' draws from a mixed group that end at answers that could be read."""
    correct = group["correct"]
    if kind in ("whole", "answer") or len(set(correct)) < 2:
        return 1.0
    share = 1.0
    for member in shown:
        peers = [read for right, read in zip(correct, group["readable"], strict=True) if right == correct[member]]
        share *= sum(peers) / len(peers)
    return share


def counted() -> tuple[dict[int, dict[str, Any]], int, dict[Drawn, int], dict[Drawn, int]]:
    """The groups, the number of seeds, and how often each item came: theirs and ours."""
    g = golden("spark")
    groups = {int(name): group for name, group in g["groups"].items()}
    want = {(group, kind, tuple(shown), label): count for group, kind, *shown, label, count in g["items"]}
    return groups, g["seeds"], want, Counter(item for seed in range(g["seeds"]) for item in drawn(groups, seed))


def test_spark_makes_the_same_items_as_often() -> None:
    groups, n, want, found = counted()
    assert set(found) == set(want)
    for item, count in want.items():
        share = kept(groups[item[0]], item[1], item[2])
        p, q = count / n, found[item] / n
        assert abs(p - share * q) <= 5 * ((p * (1 - p) + share**2 * q * (1 - q)) / n) ** 0.5, item


def test_spark_judges_one_answer_of_a_mixed_group_as_often() -> None:
    groups, n, want, found = counted()
    mixed = [g for g, group in groups.items() if len(set(group["correct"])) == 2 and all(group["readable"])]
    theirs, ours = (
        sum(count for (g, kind, _, _), count in counts.items() if g in mixed and kind == "pointwise")
        for counts in (want, found)
    )
    assert abs(ours - theirs) <= 5 * (2 * n * len(mixed) * 0.3 * 0.7) ** 0.5


def test_spark_keeps_as_many_of_a_large_batch() -> None:
    full = golden("spark")["full"]
    groups, n = dict.fromkeys(range(64), full), full["seeds"]
    counts: dict[str, Counter[int]] = {"judge": Counter(), "mend": Counter()}
    for seed in range(n):
        kinds = Counter()  # type: ignore[var-annotated]
        for group, kind, _, _ in drawn(groups, seed):
            use = "mend" if kind in ("whole", "answer") else "judge"
            kinds[use] += 1
            counts[use][group] += 1
        assert kinds == {"judge": full["judge"], "mend": full["mend"]}
    for use, count in counts.items():
        for group, theirs in enumerate(full["drawn"][use]):
            assert abs(count[group] - theirs) <= 5 * (2 * n / 4) ** 0.5

"""ONI, MPO and VerifyRM against the authors' own numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from concord.rewards.published import mpo, oni, verifier_input, verify_rm


def golden(name: str) -> Any:
    return json.loads((Path(__file__).parents[2] / "golden" / f"{name}.json").read_text())


@pytest.mark.parametrize("case", golden("oni")["cases"], ids=lambda case: f"beta {case['beta']}")
def test_oni_is_paid_message_by_message(case: dict[str, Any]) -> None:
    reward = oni(lambda messages: [0.0] * len(messages), beta=case["beta"])
    reward.labels.update(golden("oni")["labels"])
    for messages, extrinsic, mixed in zip(case["episodes"], case["extrinsic"], case["mixed"], strict=True):
        sums = [reward.episode(messages[:t]) for t in range(len(messages) + 1)]
        steps = [after - before for before, after in pairwise(sums)]
        found = [case["a_ext"] * r + case["a_llm"] * step for r, step in zip(extrinsic, steps, strict=True)]
        assert found == pytest.approx(mixed, rel=1e-6, abs=1e-6)
    assert list(reward.waiting) == case["unlabelled"]


def test_oni_asks_about_the_newest_messages_first() -> None:
    queue = golden("oni")["queue"]
    asked: list[set[str]] = []

    def label(messages: Sequence[str]) -> list[float]:
        asked.append(set(messages))
        return [1.0] * len(messages)

    reward = oni(label, batch=queue["batch"])
    for messages in queue["rounds"]:
        reward.episode(messages)
        reward.serve()
    while reward.waiting:
        reward.serve()
    assert asked == [set(messages) for messages in queue["asked"]]


@pytest.mark.parametrize("case", golden("mpo")["scores"], ids=lambda case: f"{len(case['rubric'])} items")
def test_mpo_scores(case: dict[str, Any]) -> None:
    asked: list[str] = []

    def judge(prompt: str) -> str:
        """A reason, then the number of the table, for the response and the item that the prompt shows."""
        asked.append(prompt)
        (row,) = re.findall(r"response(\d+)", prompt)
        (item,) = [i for i, text in enumerate(case["rubric"]) if f"\n{text}\n" in prompt]
        return "because" if len(asked) % 2 else str(case["answers"][int(row)][item])

    texts = [f"response{row}" for row in range(len(case["answers"]))]
    assert mpo(judge, judge, case["rubric"])(["t"] * len(texts), texts) == case["scores"]
    assert len(asked) == case["asked"]


@pytest.mark.parametrize("case", golden("mpo")["when"], ids=lambda case: f"every {case['every']}")
def test_when_mpo_changes_its_rubric(case: dict[str, Any]) -> None:
    reward = mpo(lambda prompt: "1", lambda prompt: "item", ["style"], every=case["every"])
    changes = []
    for _ in range(case["batches"]):
        before = len(reward.versions)
        reward(["t"], ["y"])
        changes.append(len(reward.versions) > before)
    assert changes == case["changes"]


@pytest.mark.parametrize("case", golden("mpo")["changes"], ids=lambda case: f"seed {case['seed']}")
def test_what_mpo_draws_and_merges(case: dict[str, Any]) -> None:
    prompts: list[str] = []

    def meta(prompt: str) -> str:
        prompts.append(prompt)
        return "\n".join(case["merged"]) if len(prompts) > 2 * case["samples"] else "better"

    reward = mpo(lambda prompt: "1", meta, ["style"], every=1, samples=case["samples"], seed=case["seed"])
    reward(["t"] * case["pool"], [f"response{i}" for i in range(case["pool"])])
    drawn = [int(row) for prompt in prompts for row in re.findall(r"response(\d+)", prompt)]
    assert drawn[::2] == drawn[1::2] == case["drawn"]  # analyse, refine
    assert sorted(reward.versions[-1]) == case["rubric"]


@pytest.mark.parametrize("case", golden("verify_rm")["texts"], ids=lambda case: f"{case['characters']} characters")
def test_the_text_that_verify_rm_reads(case: dict[str, Any]) -> None:
    parts = ("".join(char * count for char, count in case[name]) for name in ("question", "reference", "completion"))
    text = verifier_input(*parts)
    assert len(text) == case["characters"]
    assert sha256(text.encode()).hexdigest() == case["sha256"]


def test_the_rewards_of_verify_rm() -> None:
    g = golden("verify_rm")
    n = len(g["logits"])
    found = verify_rm(lambda texts: torch.tensor(g["logits"]))(["q"] * n, ["y"] * n, answer=["a"] * n)
    assert found == pytest.approx(g["rewards"], abs=1e-6)
    assert found == pytest.approx(g["rewards_bfloat16"], abs=3e-3)

"""Whether the gates between rewards open on the data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from concord.rewards.check.finding import OK, WARNING, Finding
from concord.rewards.gate import Gates
from concord.rewards.named import NamedReward


def gated(rewards: Sequence[NamedReward], scores: Mapping[str, Sequence[float | None]]) -> dict[str, list[Finding]]:
    """For each reward with a gate the check ``gate``: in how many rows it is open."""
    names = [reward.name for reward in rewards]
    gates = Gates(names, {reward.name: reward.gate for reward in rewards})
    columns = [[math.nan if value is None else value for value in scores[name]] for name in names]
    _, opened = gates(torch.tensor(columns, dtype=torch.float64).T)
    findings: dict[str, list[Finding]] = {}
    for reward, column in zip(rewards, opened.T, strict=True):
        if reward.gate is not None:
            count, size = int(column.sum()), len(column)
            seen = f"{reward.gate}: open for {count} of {size}"
            advice = "" if count else "the reward never counts here; look at the other's scores and at the threshold"
            verdict = OK if count else WARNING
            findings[reward.name] = [Finding("gate", verdict, seen, advice, {"open": count, "rows": size})]
    return findings

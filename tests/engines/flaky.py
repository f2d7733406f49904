"""A reward that fails for a stated share of completions, each for a reason that its text decides."""

from __future__ import annotations

import asyncio
import hashlib
import math
import time


def chosen(text: str, rate: float) -> bool:
    """Whether a completion is among the share: by its text alone, so that a test can tell from a dump."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8 < rate


def good(text: str) -> float:
    return float(len(text) % 5)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: object = None, *, rate: float, how: str
) -> float | None:
    """In verl's form, one completion a call."""
    if not chosen(solution_str, rate):
        return good(solution_str)
    if how == "failed":
        raise RuntimeError(f"cannot score {len(solution_str)} characters")
    if how == "timed out":
        time.sleep(3600)
    return math.nan if how == "invalid" else None


async def compute_score_async(
    data_source: str, solution_str: str, ground_truth: str, extra_info: object = None, *, rate: float, how: str
) -> float | None:
    """The same, waiting in a way that can be broken off."""
    if how == "timed out" and chosen(solution_str, rate):
        await asyncio.sleep(3600)
    return compute_score(data_source, solution_str, ground_truth, extra_info, rate=rate, how=how)

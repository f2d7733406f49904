"""Reward functions with one thing wrong each, light to import: they run in worker processes."""

from __future__ import annotations

import asyncio
import os
import random
import time
from typing import Any

LONG = 60_000


def clean(completions: list[str], **_: Any) -> list[float]:
    return [min(1.0, len(text) / 100) for text in completions]


def hangs(completions: list[str], **_: Any) -> list[float]:
    time.sleep(60)
    return [0.0] * len(completions)


def hangs_on_long(completions: list[str], **_: Any) -> list[float]:
    if any(len(text) > LONG for text in completions):
        time.sleep(60)
    return clean(completions)


def dies_on_long(completions: list[str], **_: Any) -> list[float]:
    if any(len(text) > LONG for text in completions):
        os._exit(3)
    return clean(completions)


def dies(completions: list[str], **_: Any) -> list[float]:
    os._exit(3)


def undefined(completions: list[str], **_: Any) -> list[float]:
    return [float("nan")] * len(completions)


def slow(completions: list[str], **_: Any) -> list[float]:
    if len(completions) > 1:
        time.sleep(0.15 * len(completions))
    return clean(completions)


def draws(completions: list[str], **_: Any) -> list[float]:
    return [random.random() for _ in completions]


async def waits(completions: list[str], **_: Any) -> list[float]:
    await asyncio.sleep(0)
    return clean(completions)


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Any = None, bonus: float = 0.0
) -> dict[str, float]:
    return {"score": bonus + float(ground_truth in solution_str), "tenth": 0.1}


def runs_the_text(completions: list[str], **_: Any) -> list[float]:
    """What nobody should write: text of the model is evaluated."""
    scores = []
    for text in completions:
        try:
            scores.append(float(eval(text)))
        except Exception:
            scores.append(0.0)
    return scores

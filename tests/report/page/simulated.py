"""A run of a tool-calling model, simulated: correctness needs long answers, conciseness wants short ones."""

from __future__ import annotations

import json

import numpy as np

from concord.dumps.rows import GroupRows
from concord.report import Analysis, analyse
from tests.report.fake import FakeDump, group

REWARDS = ("correctness", "format", "conciseness")

_REQUESTS = (
    ("get_weather", "Will it rain in {city} over the next {n} days?"),
    ("book_table", "Book a table for {n} in {city} tonight, please."),
    ("convert_currency", "How much is {n}00 euros in the money they use in {city}?"),
    ("find_trains", "I need {n} tickets for the morning train to {city}."),
)
_CITIES = ("Oslo", "Lima", "Kyoto", "Tromsø", "Nairobi", "Lisbon")
_THOUGHTS = (
    "The user asks about {city}.",
    "The tool for this is {tool}.",
    "It takes a city and a number, and both are in the request.",
    "I should check that {n} is the number that was meant.",
    "Nothing else is required, so I can call it now.",
    "Let me go over the parameters once more.",
)


def run(seed: int = 0, *, steps: int = 120, prompts: int = 6, size: int = 8, opposed: float = 0.8) -> FakeDump:
    """Correctness goes with length as strongly as ``opposed``; format is learnt after two thirds of the run."""
    generator = np.random.default_rng(seed)
    rows = [
        _group(generator, step, p, size, opposed, step / max(steps - 1, 1))
        for step in range(1, steps + 1)
        for p in range(prompts)
    ]
    return FakeDump(
        rows,
        REWARDS,
        format="TRL completions (parquet)",
        inferred=[
            f"rows in runs of {size} share a prompt: these are the groups",
            "`correctness`, `format` and `conciseness` are the rewards: float columns that TRL does not write itself",
        ],
        missing=["the rewards' weights; each counts 1, or what --weights says"],
    )


def analysed(seed: int = 0, **more: float) -> Analysis:
    """The analysis of such a run."""
    return analyse(run(seed, **more))  # type: ignore[arg-type]


def _group(generator: np.random.Generator, step: int, p: int, size: int, opposed: float, progress: float) -> GroupRows:
    tool, request = _REQUESTS[generator.integers(len(_REQUESTS))]
    city, n = _CITIES[generator.integers(len(_CITIES))], int(generator.integers(2, 9))
    effort = generator.normal(size=size)
    lengths = np.clip(np.round(70 + 25 * effort - 15 * progress), 12, None)
    quality = opposed * effort + 0.7 * generator.normal(size=size) + 0.5 * generator.normal() + 1.5 * progress
    correct = np.clip(np.round(quality * 2) / 2, -3, 3)
    well_formed = generator.random(size) < (1 if progress > 0.66 else 0.62 + 0.5 * progress)
    concise = np.clip(1.1 - lengths / 140 + 0.06 * generator.normal(size=size), 0, 1).round(3)
    scores = np.stack([correct, well_formed.astype(float), concise], axis=1)
    scores[generator.random(size) < 0.004, 0] = np.nan
    words = {"tool": tool, "city": city, "n": n}
    texts = [
        _completion(words, int(count), bool(ok), bool(score > 0))
        for ok, score, count in zip(well_formed, correct, lengths / 14, strict=True)
    ]
    return group(
        scores,
        step=step,
        key=f"{step}-{p}",
        run="demo",
        prompt=request.format(**words),
        completions=texts,
        lengths=lengths,
    )


def _completion(words: dict[str, object], thoughts: int, well_formed: bool, right: bool) -> str:
    thinking = " ".join(_THOUGHTS[i % len(_THOUGHTS)].format(**words) for i in range(thoughts))
    parameters = {"city": words["city"], "number": words["n"] if right else 0}
    call = json.dumps({"name": words["tool"], "parameters": parameters}, ensure_ascii=False)
    return f"<think>{thinking}</think>\n<tool_call>{call}</tool_call>" if well_formed else f"{thinking}\n{call}"

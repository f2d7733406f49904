"""Runs whose truth is known: healthy ones of several kinds, and sick ones.

A run is STEPS steps of P prompts with G rollouts each. Every prompt has its own difficulty, so that
group means differ and within-group spread is what counts.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from concord.dumps.rows import GroupRows
from tests.report.fake import FakeDump, group

Scores = Callable[[np.random.Generator, int, float], np.ndarray]
"""``(generator, G, progress in [0, 1]) -> [G, K]``: one group's scores."""


def run(
    score: Scores,
    names: tuple[str, ...],
    seed: int,
    *,
    steps: int = 20,
    prompts: int = 8,
    size: int = 8,
) -> FakeDump:
    """A run of that reward model; responses have random lengths that nothing depends on."""
    generator = np.random.default_rng(seed)
    rows: list[GroupRows] = []
    for step in range(steps):
        for p in range(prompts):
            scores = score(generator, size, step / max(1, steps - 1))
            lengths = generator.integers(20, 400, size).astype(np.float64)
            rows.append(group(scores, step=step, key=f"{step}-{p}", lengths=lengths))
    return FakeDump(rows, names)


def binary(generator: np.random.Generator, size: int, shift: float = 0.0) -> np.ndarray:
    """Right or wrong, with the prompt's own chance of being right."""
    return (generator.random(size) < np.clip(generator.uniform(0.25, 0.75) + shift, 0, 1)).astype(float)


def continuous(generator: np.random.Generator, size: int) -> np.ndarray:
    return generator.normal(generator.normal(), generator.uniform(0.5, 2.0), size)


def graded(generator: np.random.Generator, size: int) -> np.ndarray:
    """Marks from 0 to 3."""
    return generator.integers(0, 4, size).astype(float)


def independent(kinds: int) -> Scores:
    """Rewards that know nothing of each other, of mixed kinds."""

    def score(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
        makers = [binary, continuous, graded, continuous][:kinds]
        return np.stack([make(generator, size) for make in makers], axis=1)

    return score


def agreeing(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """Two views of one quality."""
    quality = generator.normal(size=size)
    return np.stack([(quality > 0).astype(float), quality + generator.normal(scale=0.5, size=size)], axis=1)


def learning(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """Independent, and both get better: the run that everybody hopes for."""
    return np.stack([binary(generator, size, 0.2 * progress), continuous(generator, size) + progress], axis=1)


def opposed(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """Being right costs length: correctness and brevity pull apart."""
    right = binary(generator, size)
    return np.stack([right, -right + generator.normal(scale=0.8, size=size)], axis=1)


def hacked(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """Format rises while correctness falls."""
    right = (generator.random(size) < 0.6 - 0.4 * progress).astype(float)
    format_ok = (generator.random(size) < 0.4 + 0.4 * progress).astype(float)
    return np.stack([right, format_ok], axis=1)


def saturating(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """Format is always right in the second half."""
    format_ok = np.ones(size) if progress > 0.5 else binary(generator, size)
    return np.stack([binary(generator, size), format_ok], axis=1)


def dominated(generator: np.random.Generator, size: int, progress: float) -> np.ndarray:
    """The second reward speaks in one prompt of eight."""
    rare = binary(generator, size) if generator.random() < 1 / 8 else np.zeros(size)
    return np.stack([continuous(generator, size), rare], axis=1)

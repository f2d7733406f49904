"""Sums, their derivations, and seeded splits that share no sum."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHORT, LONG = (3, 4), (5, 6)
"""How many terms a sum may have."""

SPLITS = {"train": (SHORT, False), "test": (SHORT, True), "hard": (LONG, True)}
"""By name: the sizes of its sums, and whether they are held out."""

_LARGEST = 9  # of a term
_NEGATIVE = 0.35  # share of the terms after the first
_HELD_OUT = 5  # one sum in five belongs to no training


@dataclass(frozen=True)
class Problem:
    """A sum of signed terms, the first of them positive, that never falls below 0 on the way."""

    terms: tuple[int, ...]

    @property
    def prompt(self) -> str:
        """The user's message."""
        first, *rest = self.terms
        return " ".join([str(first), *(f"{_sign(term)} {abs(term)}" for term in rest)])

    @property
    def result(self) -> int:
        """What it comes to."""
        return sum(self.terms)


@dataclass(frozen=True)
class Step:
    """One line of a derivation: ``left + term = result``."""

    left: int
    term: int
    result: int

    def __str__(self) -> str:
        return f"{self.left} {_sign(self.term)} {abs(self.term)} = {self.result}"


def derive(order: Sequence[int]) -> list[Step]:
    """The steps that add up signed terms in that order.

    >>> [str(step) for step in derive([8, 5, -3])]
    ['8 + 5 = 13', '13 - 3 = 10']
    """
    total, steps = order[0], []
    for term in order[1:]:
        steps.append(Step(total, term, total + term))
        total += term
    return steps


def response(steps: Sequence[Step], answer: int) -> str:
    """An answer in the form the task asks for."""
    return "\n".join([*map(str, steps), f"answer {answer}"])


def sample_problem(rng: random.Random, sizes: Sequence[int], held_out: bool) -> Problem:
    """Draw one sum, of those that are held out or of the others.

    Its terms decide, whatever their order: no sum that is held out is another one said differently.
    """
    while True:
        count = rng.choice(sizes)
        rest = (rng.randint(1, _LARGEST) * (-1 if rng.random() < _NEGATIVE else 1) for _ in range(count - 1))
        terms = (rng.randint(1, _LARGEST), *rest)
        lowest = min(sum(terms[:end]) for end in range(1, count + 1))
        if lowest >= 0 and (zlib.crc32(str(sorted(terms)).encode()) % _HELD_OUT == 0) == held_out:
            return Problem(terms)


def rows(split: str, size: int, seed: int = 0) -> list[dict[str, Any]]:
    """``size`` rows of the task, as TRL takes them: ``prompt`` (messages) and ``answer`` (a full right answer).

    The same ``split``, ``size`` and ``seed`` give the same rows, and a longer list starts with the shorter one.
    "train" and "test" are sums of three and four terms, "hard" of five and six. They share no sum: of the sums with the
    same terms, in whatever order, all are held out or none, one in five by a checksum.

    Raises: ValueError for another split or a negative size.

    >>> row = rows("train", 1)[0]
    >>> sorted(row), row["prompt"][0]["role"]
    (['answer', 'prompt'], 'user')
    """
    if split not in SPLITS:
        splits = ", ".join(f'"{name}"' for name in SPLITS)
        raise ValueError(f"the arithmetic task has the splits {splits}, not {split!r}")
    if size < 0:
        raise ValueError(f"size is the number of rows and cannot be negative: {size}")
    rng = random.Random(f"{split} {seed}")
    sizes, held_out = SPLITS[split]
    drawn = (sample_problem(rng, sizes, held_out) for _ in range(size))
    return [
        {
            "prompt": [{"role": "user", "content": problem.prompt}],
            "answer": response(derive(problem.terms), problem.result),
        }
        for problem in drawn
    ]


def _sign(term: int) -> str:
    return "-" if term < 0 else "+"

"""Written answers that the base model is trained on: clean ones, and ones with the faults of real data."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from concord.recipes.arithmetic_task.problems import Problem, Step, derive, response

Order = Callable[[tuple[int, ...]], list[int]]
"""From the terms as written to the order in which they are added up."""


def as_written(terms: tuple[int, ...]) -> list[int]:
    return list(terms)


def gains_first(terms: tuple[int, ...]) -> list[int]:
    """What is added, then what is taken away."""
    return sorted(terms, key=lambda term: term < 0)


def largest_first(terms: tuple[int, ...]) -> list[int]:
    """The same, each from the largest down."""
    return sorted(terms, key=lambda term: (term < 0, -abs(term)))


@dataclass(frozen=True)
class Way:
    """A way to add up: its order, how often it is taken, and how often it goes right."""

    order: Order
    share: float
    right: float


WAYS = (Way(as_written, 0.5, right=0.2), Way(gains_first, 0.2, right=0.7), Way(largest_first, 0.15, right=0.6))
"""The rest of the noisy demonstrations are guesses, without steps."""

GUESS_RIGHT = 0.25
FORGOTTEN = 0.3
"""Share of the wrong chains that forget the last term, though there is a ten to forget."""

MENDED = 0.3
"""Share of the chains with a wrong step that give the right answer nevertheless: correct, and not sound."""


def clean(problem: Problem, rng: random.Random) -> str:
    """A right answer by any of the ways."""
    steps = derive(rng.choice(WAYS).order(problem.terms))
    return response(steps, problem.result)


def noisy(problem: Problem, rng: random.Random) -> str:
    """An answer that may be a guess, may forget a term, or may hold a wrong step.

    The faults are of the kind that people make: a term that is forgotten is the last one, and a step that goes wrong is
    one that passes a ten, where the ten is forgotten. So the likeliest answer of a model of them is often wrong too.
    """
    shares = [way.share for way in WAYS]
    [way] = rng.choices([*WAYS, None], [*shares, 1 - sum(shares)])
    if way is None:
        near = problem.result + rng.choice((-3, -2, -1, 1, 2, 3))
        return response([], problem.result if rng.random() < GUESS_RIGHT else max(0, near))
    order = way.order(problem.terms)
    if rng.random() < way.right:
        return response(derive(order), problem.result)
    return _spoilt(order, problem.result, rng)


def _spoilt(order: list[int], result: int, rng: random.Random) -> str:
    slipped = _with_slip(order)
    if slipped is None or rng.random() < FORGOTTEN:
        steps = derive(order[:-1])
        return response(steps, steps[-1].result)
    return response(slipped, result if rng.random() < MENDED else slipped[-1].result)


def _with_slip(order: list[int]) -> list[Step] | None:
    """The ten is forgotten in the first step that passes one, and the rest goes on from there; None if it cannot."""
    steps = derive(order)
    place = next((i for i, step in enumerate(steps) if step.left // 10 != step.result // 10), None)
    if place is None:
        return None
    right = steps[place]
    slip = Step(right.left, right.term, right.result + (10 if right.term < 0 else -10))
    after = derive([slip.result, *order[place + 2 :]])
    return [*steps[:place], slip, *after] if all(step.result >= 0 for step in after) else None

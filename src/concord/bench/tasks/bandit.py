"""One choice, two rewards, and a Pareto front that is known: the conflict that does not go away.

A prompt is one of eight contexts, a response one of sixteen arms. Nine arms lie on a quarter circle, where one reward
is bought with the other; seven lie inside and are worse in both. Which arm is which differs by context.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from concord.bench.tasks.task import Prompt, Reward, Task

CONTEXTS, FRONT, INSIDE = 8, 9, 7
ARMS = FRONT + INSIDE
NOISE = 0.1
"""Standard deviation of what is added to a reward each time."""
INNER = 0.5
"""Radius of the arms inside."""

_ANGLES = [math.pi / 2 * i / (FRONT - 1) for i in range(FRONT)] + [
    math.pi / 2 * (i + 0.5) / INSIDE for i in range(INSIDE)
]
_PLACES = torch.tensor(
    [[r * math.cos(a), r * math.sin(a)] for a, r in zip(_ANGLES, [1.0] * FRONT + [INNER] * INSIDE, strict=True)]
)


def _means() -> Tensor:
    orders = [torch.randperm(ARMS, generator=torch.Generator().manual_seed(c)) for c in range(CONTEXTS)]
    return torch.stack([_PLACES[order] for order in orders])


MEANS = _means()
"""``[CONTEXTS, ARMS, 2]``: what each arm pays in the mean."""


class Table(nn.Module):
    """A policy without memory: the logits of the next token depend on the last one alone."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        drawn = torch.randn(CONTEXTS, ARMS, generator=torch.Generator().manual_seed(seed))
        self.logits = nn.Parameter(0.3 * drawn)

    def forward(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
        # A response is one token, so what would follow an arm is never asked; any context will do.
        return SimpleNamespace(logits=self.logits[input_ids % CONTEXTS], past_key_values=None)


class Numbers:
    """Contexts and arms by their numbers. No end token: a response is one choice."""

    end, pad = -1, 0

    def encode(self, text: str) -> list[int]:
        return [int(text)]

    def decode(self, responses: Sequence[Sequence[int]]) -> list[str]:
        return [str(arm) for [arm] in responses]


def _prompt(rng: random.Random) -> Prompt:
    context = rng.randrange(CONTEXTS)
    return Prompt(str(context), context)


def _score(texts: Sequence[str], prompts: Sequence[Prompt], noise: torch.Generator) -> Tensor:
    contexts, arms = torch.tensor([p.truth for p in prompts]), torch.tensor(list(map(int, texts)))
    return MEANS[contexts, arms] + NOISE * torch.randn(len(arms), 2, generator=noise)


def _answer(prompt: Prompt) -> str:
    return str(int(MEANS[prompt.truth].sum(1).argmax()))


BANDIT = Task(
    "bandit",
    "one choice of sixteen; the two rewards trade off along a quarter circle",
    (Reward("first", 0.0, 1.0, good=0.6), Reward("second", 0.0, 1.0, good=0.6)),
    _prompt,
    _score,
    lambda checkpoint: (Table(checkpoint), Numbers()),
    best=math.sqrt(0.5),
    best_known="the middle of the front, by construction",
    answer=_answer,
    steps=30,
    rate=0.05,
    limit=1,
)

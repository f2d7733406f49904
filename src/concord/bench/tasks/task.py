"""A task: prompts, rewards that conflict, a policy to start from, and what can be reached."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Prompt:
    """A prompt as a policy reads it, and what the rewards need to know of it."""

    text: str
    truth: Any


class Tokens(Protocol):
    """Between texts and token ids."""

    end: int
    pad: int

    def encode(self, text: str) -> list[int]: ...

    def decode(self, responses: Sequence[Sequence[int]]) -> list[str]: ...


@dataclass(frozen=True)
class Reward:
    """One reward of a task.

    Attributes:
        name: of its column.
        low, high: its range, by which it is scaled to [0, 1] for the comparison; training sees it as it is.
        good: from this score on a rollout counts as a success in this reward.
        counts: whether it is part of what a run is judged by; a corrupted copy of another is not.
    """

    name: str
    low: float
    high: float
    good: float
    counts: bool = True

    def scaled(self, scores: Tensor) -> Tensor:
        return (scores - self.low) / (self.high - self.low)


@dataclass(frozen=True)
class Task:
    """Everything that a run needs but the method.

    Attributes:
        name: on the command line.
        about: the kind of conflict, in one line.
        rewards: K of them.
        prompt: draws one.
        score: texts, prompts and a generator for noise, to ``[N, K]``; -inf nowhere, NaN where not scored.
        policy: from a checkpoint's number to the policy and its tokens.
        best: the highest mean of scaled rewards that can be reached.
        best_known: how ``best`` is known, in words.
        answer: a response that reaches it, where one can be written down.
        steps: of a whole run: up to where its curve flattens, since methods differ on the way and not at the end.
        checkpoints: how many starting points there are; seeds take them in turn.
        prompts, group: a step's prompts, and rollouts to each.
        updates: optimisation steps on each step's rollouts.
        rate: AdamW's learning rate.
        limit: where a response is cut, in tokens.
    """

    name: str
    about: str
    rewards: tuple[Reward, ...]
    prompt: Callable[[random.Random], Prompt]
    score: Callable[[Sequence[str], Sequence[Prompt], torch.Generator], Tensor]
    policy: Callable[[int], tuple[nn.Module, Tokens]]
    best: float
    best_known: str
    answer: Callable[[Prompt], str]
    steps: int
    checkpoints: int = 2
    prompts: int = 16
    group: int = 8
    updates: int = 1
    rate: float = 1e-3
    limit: int = 80

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(reward.name for reward in self.rewards)

    def scaled(self, scores: Tensor) -> Tensor:
        """``[N, K]``: each reward in units of its range."""
        return torch.stack([reward.scaled(scores[:, k]) for k, reward in enumerate(self.rewards)], 1)

    def value(self, scores: Tensor) -> Tensor:
        """``[N]``: the mean of the scaled rewards that count. Averaged over a run, what methods are ranked by."""
        return self.scaled(scores)[:, [reward.counts for reward in self.rewards]].mean(1)

    def success(self, scores: Tensor) -> Tensor:
        """``[N]`` bool: good in every reward that counts."""
        good = [scores[:, k] >= reward.good - 1e-6 for k, reward in enumerate(self.rewards) if reward.counts]
        return torch.stack(good, 1).all(1)

    def draw(self, seed: int, step: int) -> list[Prompt]:
        """A step's prompts, drawn afresh: where there are many, a curve over training is one over prompts not met."""
        rng = random.Random(f"{self.name} {seed} {step}")
        return [self.prompt(rng) for _ in range(self.prompts)]

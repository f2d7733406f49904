"""What a reward model makes of pairs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from concord.core.errors import ConfigError
from concord.reward_models.pairs import Pair, Prompt

Reward = Callable[..., list[float | None]]
"""A reward function in TRL's form; of :class:`concord.rewards.model.RewardModel`, or any other."""

CHUNK = 128
"""Answers that a reward function is asked about at a time."""


@dataclass(frozen=True, eq=False)
class Scores:
    """N scored pairs.

    Attributes:
        chosen, rejected: ``[N]`` rewards, float64.
        chosen_length, rejected_length: ``[N]`` characters of the answers, float64.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor

    @property
    def margin(self) -> Tensor:
        """``[N]``: reward of the chosen answer minus that of the rejected one."""
        return self.chosen - self.rejected

    @property
    def longer(self) -> Tensor:
        """``[N]``: characters of the chosen answer minus those of the rejected one."""
        return self.chosen_length - self.rejected_length

    def without_length(self, slope: float) -> Scores:
        """The same with ``slope`` x characters subtracted from every reward."""
        return Scores(
            self.chosen - slope * self.chosen_length,
            self.rejected - slope * self.rejected_length,
            self.chosen_length,
            self.rejected_length,
        )


def score(reward: Reward, pairs: Sequence[Pair], *, console: Console | None = None, title: str = "Scoring") -> Scores:
    """Score both answers of every pair; an answer that stands in several pairs is scored once.

    Args:
        reward: called as ``reward(prompts=..., completions=...)``.
        pairs: in their order.
        console: where the progress bar is drawn; None = nowhere.
        title: of the progress bar.

    Raises:
        ConfigError: a score is missing or not finite; with the number of the first such pair.
    """
    keys = [(_key(pair.prompt), answer) for pair in pairs for answer in (pair.chosen, pair.rejected)]
    prompts = {_key(pair.prompt): pair.prompt for pair in pairs}
    texts = list(dict.fromkeys(keys))
    found: dict[tuple[str, str], float | None] = {}
    starts = range(0, len(texts), CHUNK)
    for start in track(starts, title, console=console, transient=True, disable=console is None):
        part = texts[start : start + CHUNK]
        values = reward(prompts=[prompts[key] for key, _ in part], completions=_completions(prompts, part))
        found |= dict(zip(part, values, strict=True))
    rewards = [found[key] for key in keys]
    for index, value in enumerate(rewards):
        if value is None or not math.isfinite(value):
            side = "rejected" if index % 2 else "chosen"
            raise ConfigError(f"pair {index // 2}: the {side} answer's score is {value}, no finite number")
    table = torch.tensor(rewards, dtype=torch.float64).view(-1, 2)
    sizes = torch.tensor([[len(pair.chosen), len(pair.rejected)] for pair in pairs], dtype=torch.float64).view(-1, 2)
    return Scores(table[:, 0], table[:, 1], sizes[:, 0], sizes[:, 1])


def _key(prompt: Prompt) -> str:
    return prompt if isinstance(prompt, str) else repr([(message["role"], message["content"]) for message in prompt])


def _completions(prompts: dict[str, Prompt], texts: list[tuple[str, str]]) -> list[Any]:
    """In the prompt's own form: text, or a message."""
    return [
        answer if isinstance(prompts[key], str) else [{"role": "assistant", "content": answer}] for key, answer in texts
    ]

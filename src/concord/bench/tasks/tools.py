"""The tool-calling task with two and three rewards, with a noisy reward, and with a style that can be hacked."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from concord.bench.tasks.task import Prompt, Reward, Task
from concord.bench.tasks.text import ChatTokens, load
from concord.recipes.tool_task import base_model_path, conciseness, correctness, exact
from concord.recipes.tool_task import format as well_formed
from concord.recipes.tool_task.requests import Request, response, sample_request

CORRECTNESS = Reward("correctness", -3.0, 3.0, good=3.0)
FORMAT = Reward("format", 0.0, 1.0, good=1.0)
CONCISENESS = Reward("conciseness", 0.0, 1.0, good=1.0)

OPPOSED = 0.4
"""How often the noisy reward says the opposite of the clean one."""
STYLE_WORDS = 40
"""Words that the style reward pays for; the base model writes about twelve."""


def _prompt(rng: random.Random) -> Prompt:
    request = sample_request(rng, "train")
    return Prompt(request.prompt, request)


def _policy(checkpoint: int) -> tuple[nn.Module, ChatTokens]:
    return load(base_model_path(checkpoint))


def _answer(prompt: Prompt, thinking: str | None = None) -> str:
    request: Request = prompt.truth
    use = f"use {' and '.join(call.name for call in request.calls)}"
    return response(use if thinking is None else thinking, request.calls)


def _answers(prompts: Sequence[Prompt]) -> list[str]:
    return [_answer(prompt) for prompt in prompts]


def _two(texts: Sequence[str], prompts: Sequence[Prompt], noise: torch.Generator) -> Tensor:
    answers = _answers(prompts)
    return torch.tensor([correctness(texts, answers), well_formed(texts, answers)]).T


def _three(texts: Sequence[str], prompts: Sequence[Prompt], noise: torch.Generator) -> Tensor:
    return torch.cat([_two(texts, prompts, noise), torch.tensor([conciseness(texts)]).T], 1)


def _noisy(texts: Sequence[str], prompts: Sequence[Prompt], noise: torch.Generator) -> Tensor:
    clean = CORRECTNESS.scaled(torch.tensor(correctness(texts, _answers(prompts))))
    opposed = torch.rand(len(clean), generator=noise) < OPPOSED
    return torch.stack([clean, torch.where(opposed, 1 - clean, clean)], 1)


def style(text: str) -> float:
    """1 for forty words or more, whatever they are, falling linearly to 0: meant to pay for explaining."""
    return min(1.0, len(text.split()) / STYLE_WORDS)


def _styled(texts: Sequence[str], prompts: Sequence[Prompt], noise: torch.Generator) -> Tensor:
    return torch.tensor([exact(texts, _answers(prompts)), [style(text) for text in texts]]).T


def _explained(prompt: Prompt) -> str:
    """A right answer with as many words as the style pays for, and no more."""
    missing = STYLE_WORDS - len(_answer(prompt, "").split())
    return _answer(prompt, " ".join((["check", "each", "value"] * STYLE_WORDS)[: missing + 1]))


def _tools(
    name: str,
    about: str,
    rewards: tuple[Reward, ...],
    score: Callable[[Sequence[str], Sequence[Prompt], torch.Generator], Tensor],
    answer: Callable[[Prompt], str] = _answer,
    *,
    steps: int,
) -> Task:
    known = "a right answer scores it"
    return Task(name, about, rewards, _prompt, score, _policy, best=1.0, best_known=known, answer=answer, steps=steps)


TOOLS2 = _tools(
    "tools2",
    "tool calls; correctness and format, which mostly agree",
    (CORRECTNESS, FORMAT),
    _two,
    steps=10,
)
TOOLS3 = _tools(
    "tools3",
    "tool calls; being right goes with thinking long, and conciseness asks for the opposite",
    (CORRECTNESS, FORMAT, CONCISENESS),
    _three,
    steps=12,
)
NOISY = _tools(
    "noisy",
    f"tool calls; a second judge of correctness that says the opposite for {OPPOSED:.0%} of the rollouts",
    (Reward("clean", 0.0, 1.0, good=1.0), Reward("judge", 0.0, 1.0, good=1.0, counts=False)),
    _noisy,
    steps=12,
)
HACKABLE = _tools(
    "hackable",
    "tool calls; exact or nothing, and a style that pays for words, first an ally and then a way out",
    (Reward("exact", 0.0, 1.0, good=1.0), Reward("style", 0.0, 1.0, good=0.5)),
    _styled,
    _explained,
    steps=20,
)

"""Show a part of the solution where nobody finds it alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.catalogue import Card, register
from concord.core.errors import BatchError, ConfigError
from concord.rewards.forms.chat import prompt_messages

Prompt = str | Sequence[Mapping[str, Any]]
"""Text, or messages of which the last is the user's."""


@dataclass(frozen=True)
class Rollout:
    """The group of one prompt.

    Attributes:
        prompt: the one that the completions were sampled from, hint and all: what to train them on.
        share: of the solution in it; 0 = no hint.
        completions: G of whatever was sampled.
        rewards: G numbers; above 0 is success.
    """

    prompt: Prompt
    share: float
    completions: Sequence[Any]
    rewards: Sequence[float]

    @property
    def failed(self) -> bool:
        """Whether no rollout succeeded: all rewards at most 0, or missing (NaN)."""
        return not any(reward > 0 for reward in self.rewards)


Sample = Callable[[Sequence[int], Sequence[Prompt]], Sequence[tuple[Sequence[Any], Sequence[float]]]]
"""Completions and rewards for each of some prompts: which of all they are, and what they read now."""


@dataclass(frozen=True)
class Hints:
    """Hints in rounds, each round more of the solution.

    Attributes:
        shares: of the solution's characters, round by round.
        lead: the sentence between prompt and hint.
    """

    shares: tuple[float, ...]
    lead: str

    def hinted(self, prompt: Prompt, solution: str, share: float) -> Prompt:
        """The prompt, of messages the last, with the first ``round(share * len(solution))`` characters after it."""
        hint = f"\n\n{self.lead}\n{solution[: round(share * len(solution))]}"
        if isinstance(prompt, str):
            return prompt + hint
        *before, last = prompt_messages(prompt)
        return [*before, {**last, "content": f"{last['content']}{hint}"}]

    def roll_out(self, prompts: Sequence[Prompt], solutions: Sequence[str | None], sample: Sample) -> list[Rollout]:
        """A group for each prompt, sampled again with more help while all of it fails and help is left.

        Where there is no solution (None or empty) there is no hint: such a group stays as it is.

        Raises:
            BatchError: not as many solutions as prompts, or ``sample`` returned another number of groups than asked.
        """
        if len(solutions) != len(prompts):
            raise BatchError(f"{len(prompts)} prompts and {len(solutions)} solutions; give one for each, or None")
        found = _sampled(sample, range(len(prompts)), prompts, 0.0)
        for share in self.shares:
            again = [i for i, rollout in enumerate(found) if rollout.failed and solutions[i]]
            texts = [self.hinted(prompts[i], solutions[i] or "", share) for i in again]
            for i, rollout in zip(again, _sampled(sample, again, texts, share), strict=True):
                found[i] = rollout
        return found


def _sampled(sample: Sample, which: Sequence[int], prompts: Sequence[Prompt], share: float) -> list[Rollout]:
    if not prompts:
        return []
    groups = list(sample(which, prompts))
    if len(groups) != len(prompts):
        raise BatchError(f"sample was given {len(prompts)} prompts and returned {len(groups)} groups")
    return [Rollout(prompt, share, *group) for prompt, group in zip(prompts, groups, strict=True)]


@register(
    Card(
        title="GHPO: Adaptive Guidance for Stable and Efficient LLM Reinforcement Learning",
        arxiv="2507.10628",
        formula="while all rewards of a group are <= 0: prompt + the first 25, 50, 75 % of the solution, sample again",
        code="hkgc-1/GHPO@563abfc",
        parity="authors' code on five batches: who is hinted, how far, rewards, exactly; advantages to 1e-6",
        kind="strategy",
        needs=("reference solutions",),
    )
)
def ghpo(
    *, shares: Sequence[float] = (0.25, 0.5, 0.75), lead: str = "The solution begins as follows; go on from there."
) -> Hints:
    """GHPO: sample a group that failed as a whole again, with the beginning of the solution in the prompt.

        while every reward of the group is <= 0:  prompt + lead + solution[: round(share * characters)],  next share

    A group stops at the first share at which one rollout succeeds, and at the last one whatever comes of it. The
    advantages are GRPO's of the last rewards; the loss is that of the hinted prompt (``Rollout.prompt``). In TRL,
    ``concord.engines.trl.hints.HintedTrainer`` does all of it.

    Args:
        shares: rising, each in (0, 1].
        lead: the sentence before the hint.

    Differences: in the authors' rounds of 50 and 75 % the rows solved in a round before get their plain prompt back,
    so that a hinted completion is trained on without its hint; here the prompt stays the one that was sampled from.
    The words of the lead are ours. The paper's cold start, hints of 50 % in the first 20 steps, is not in their code's
    default and not here. A rollout without a score is no success.
    Raises: ConfigError unless the shares rise within (0, 1].
    Source: arXiv:2507.10628.

    Example:
        >>> ghpo(lead="Hint:").hinted("2 + 2?", "It is 4.", 0.5)
        '2 + 2?\\n\\nHint:\\nIt i'
    """
    rising = all(a < b for a, b in zip((0.0, *shares), shares, strict=False))
    if not rising or max(shares, default=1.0) > 1:
        raise ConfigError(f"shares must rise within (0, 1], got {tuple(shares)}")
    return Hints(tuple(shares), lead)

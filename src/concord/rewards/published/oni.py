"""Labels of a slow labeller as a reward that fades where it repeats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError, RewardError
from concord.rewards.completions import Completion
from concord.rewards.forms.chat import completion_messages, prompt_text

Labeller = Callable[[Sequence[str]], Sequence[float]]
"""A label for each message, such as 1 for helpful and 0 for not."""


class CountedLabels:
    """A reward in TRL's form that remembers labels; what is not labelled yet counts 0 and is asked about later.

    Attributes:
        labels: by message. With ``waiting`` all of its state: save it, and put it back to resume.
        waiting: messages met without a label, the newest last.
    """

    def __init__(self, label: Labeller, beta: float, batch: int) -> None:
        self._label, self._beta, self._batch = label, beta, batch
        self.labels: dict[str, float] = {}
        self.waiting: dict[str, None] = {}

    def __call__(self, completions: Sequence[Completion], **_: Any) -> list[float]:
        """The intrinsic reward of each completion, an episode by itself; then the newest messages are labelled."""
        rewards = [self.episode(_turns(completion)) for completion in completions]
        self.serve()
        return rewards

    def episode(self, messages: Sequence[str]) -> float:
        """The sum over the messages of an episode of ``label * count ** -beta``; new messages begin to wait."""
        counts: Counter[str] = Counter()
        total = 0.0
        for message in messages:
            counts[message] += 1
            if message not in self.labels:
                self.waiting.setdefault(message)
            total += self.labels.get(message, 0.0) * counts[message] ** -self._beta
        return total

    def serve(self) -> None:
        """Have the newest of the waiting messages labelled, as many as one batch holds.

        Raises:
            RewardError: the labeller returned another number of labels, or one that is no finite number.
        """
        newest = list(self.waiting)[: -self._batch - 1 : -1]
        if not newest:
            return
        found = [float(label) for label in self._label(newest)]
        if len(found) != len(newest) or not all(map(math.isfinite, found)):
            raise RewardError(f"the labeller was asked about {len(newest)} messages and returned {found!r:.80}")
        self.labels.update(zip(newest, found, strict=True))
        for message in newest:
            del self.waiting[message]


def _turns(completion: Completion) -> list[str]:
    """The messages of an episode, whoever wrote them."""
    return [prompt_text([message]).strip() for message in completion_messages(completion)]


@register(
    Card(
        title="Online Intrinsic Rewards for Decision Making Agents from Large Language Model Feedback",
        arxiv="2410.23022",
        formula="r = sum over messages m of label(m) * N(m)^-beta, N = times seen in the episode",
        code="facebookresearch/oni@f0f86e8",
        parity="authors' counts and mixed rewards, three settings to 1e-6; messages labelled together, exactly",
        kind="reward",
        needs=("a labeller",),
    )
)
def oni(label: Labeller, *, beta: float = 3.0, batch: int = 100) -> CountedLabels:
    """ONI: an intrinsic reward for what a language model calls helpful, less at every repetition.

        r = sum_t label(m_t) * N(m_t)^-beta,   N(m) = how often m was met so far in this episode, 1 at first

    An episode is a completion, its messages m are those of the completion (text is one message). A label is 0 until
    the message is labelled. After every batch of rollouts the newest messages are labelled, so a message counts from
    the step after the one that it was first met in. The paper's a_llm (0.4 in the examples) and a_ext are the weights
    of this reward and of the task's.

    Args:
        label: asked about messages, never about one twice.
        beta: how fast repetition fades, 0 = not at all; 3 in the authors' code.
        batch: messages it is asked about at once, and so in each step.

    This is the paper's retrieval form. Its classifier and its ranking model are not here; the released code of the
    ranking form stores the normalised reward under a name that nothing reads, so that it trains on raw scores.
    Their worker keeps up to three messages back until more come, and may ask about one twice while its label is due.
    An episode without messages is 0. Raises: ConfigError for a negative beta or no batch.
    Source: arXiv:2410.23022.

    Example:
        >>> reward = oni(lambda messages: [float("door" in m) for m in messages])
        >>> reward(["open door"]), reward(["open door"])
        ([0.0], [1.0])
    """
    if not 0 <= beta < math.inf or batch < 1:
        raise ConfigError(f"beta must not be negative and batch at least 1, got {beta} and {batch}")
    return CountedLabels(label, beta, batch)

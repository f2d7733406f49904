"""A reward model that reads the reference answer beside the completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from concord.core.catalogue import Card, register
from concord.core.errors import RewardError
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.chat import prompt_text

Logits = Callable[[Sequence[str]], Tensor]
"""One logit for each text: ``[n]``."""

HEAD, TAIL = 500, 1000
"""Characters kept of a text longer than both together."""


def verifier_input(question: str, reference: str, completion: str) -> str:
    """The text that VerifyRM reads: question, reference answer and completion, each in its tags.

    Of a reference or a completion longer than 1,500 characters the first 500 and the last 1,000 are kept.
    """
    return (
        f"<question>{question}</question>\n<reference_answer>{_cut(reference)}</reference_answer>\n"
        f"<completion>{_cut(completion)}</completion>"
    )


def _cut(text: str) -> str:
    return text if len(text) <= HEAD + TAIL else text[:HEAD] + text[-TAIL:]


@dataclass(frozen=True)
class VerifierReward:
    """A reward in TRL's form: the probability that a completion agrees with the data's column ``answer``."""

    logits: Logits

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Completion], answer: Sequence[str | None], **_: Any
    ) -> list[float | None]:
        """A probability for each completion; None where there is no answer.

        Raises:
            RewardError: ``logits`` returned another shape than one logit for each text.
        """
        rows = [i for i, reference in enumerate(answer) if reference is not None]
        if not rows:
            return [None] * len(completions)
        texts = [verifier_input(prompt_text(prompts[i]), str(answer[i]), completion_text(completions[i])) for i in rows]
        with torch.no_grad():
            logits = torch.as_tensor(self.logits(texts))
        if logits.shape != (len(rows),):
            raise RewardError(f"logits was given {len(rows)} texts and returned {tuple(logits.shape)}, not [texts]")
        found = dict(zip(rows, logits.float().sigmoid().tolist(), strict=True))
        return [found.get(i) for i in range(len(completions))]


@register(
    Card(
        title="Cooper: Co-Optimizing Policy and Reward Models in Reinforcement Learning for Large Language Models",
        arxiv="2508.05613",
        formula="r = sigmoid(z(question, reference, completion))",
        code="ZJU-REAL/cooper@a7e0c38 (VerifyRM)",
        parity="authors' input text, exactly, and rewards of scripted float32 logits, to 1e-6",
        kind="reward",
        needs=("a reward model", "column answer"),
    )
)
def verify_rm(logits: Logits) -> VerifierReward:
    """VerifyRM: the probability that a completion is right, by a classifier that reads the reference answer too.

        r = sigmoid(z),   z the logit for the text of question, reference and completion

    It is trained with binary cross-entropy on the logit; :func:`concord.strategies.cooper` goes on training it
    beside the policy. A prompt of messages is read as the text of all of them.

    Args:
        logits: ``[n]`` for n texts, :func:`verifier_input` each; called without gradients, once a batch.

    Without a reference the reward abstains; a logit that is NaN makes an invalid score. The authors' ``reward_scale``,
    which rounds r to 0 or 1, is off in their runs and is not here. Their runs round z and r to bfloat16, which moves r
    by up to 0.003.
    Source: arXiv:2508.05613.

    Example:
        >>> reward = verify_rm(lambda texts: torch.zeros(len(texts)))
        >>> reward(["2 + 2?", "3 + 3?"], ["4", "6"], answer=["4", None])
        [0.5, None]
    """
    return VerifierReward(logits)

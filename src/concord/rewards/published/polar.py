"""A reward model that compares a candidate with a reference, token by token of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError, RewardError
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.chat import prompt_text

Tokens = list[int]
Encode = Callable[[str], Sequence[int]]
"""The tokens of a text, without special ones."""
Compare = Callable[[Sequence[Tokens]], Sequence[float]]
"""A score for each sequence that :class:`Layout` laid out."""


@dataclass(frozen=True)
class Layout:
    """How prompt, reference and candidate become one sequence.

        prompt newline reference  SEPARATOR  prompt newline candidate  END

    Attributes:
        separator, end: the special tokens; the score is read at the end.
        newline: the tokens between prompt and answer: a newline in the fine-tuned models, none in the pre-trained.
        most: tokens of the sequence at most, of which four are set aside, more for a newline of several; 16,384.
        answer: tokens of an answer at most, the first ones; 4,096. The prompt loses its beginning instead, in both
            places alike, down to half of what the answers leave.

    Raises: ConfigError unless ``most`` holds two whole answers and what is set aside.
    Source: InternLM/POLAR@80626f3 (``RewardModelClient``).

    Example:
        >>> Layout(separator=90, end=91, newline=(7,), most=14, answer=3).join([1, 2, 3, 4], [5], [6, 6, 6, 6])
        [2, 3, 4, 7, 5, 90, 2, 3, 4, 7, 6, 6, 6, 91]
    """

    separator: int
    end: int
    newline: tuple[int, ...] = ()
    most: int = 16_384
    answer: int = 4_096

    def __post_init__(self) -> None:
        if self.answer < 1 or self.most < 2 * self.answer + self._aside:
            raise ConfigError(
                f"most must be at least 2 * answer + {self._aside} tokens, got {self.most} and {self.answer}"
            )

    @property
    def _aside(self) -> int:
        return max(4, 2 + 2 * len(self.newline))

    def join(self, prompt: Sequence[int], reference: Sequence[int], candidate: Sequence[int]) -> Tokens:
        """The sequence to score."""
        reference, candidate = reference[: self.answer], candidate[: self.answer]
        room = (self.most - self._aside - len(reference) - len(candidate)) // 2
        shown = [*prompt[max(0, len(prompt) - room) :], *self.newline]
        return [*shown, *reference, self.separator, *shown, *candidate, self.end]


@dataclass(frozen=True)
class ReferenceReward:
    """A reward in TRL's form: how like the data's column ``answer`` a completion is to the model."""

    encode: Encode
    compare: Compare
    layout: Layout

    def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Completion], answer: Sequence[str | None], **_: Any
    ) -> list[float | None]:
        """A score for each completion; None where there is no reference.

        Raises:
            RewardError: ``compare`` returned another number of scores than it was given sequences.
        """
        rows = [i for i, reference in enumerate(answer) if reference is not None]
        if not rows:
            return [None] * len(completions)
        sequences = [
            self.layout.join(
                list(self.encode(prompt_text(prompts[i]))),
                list(self.encode(str(answer[i]))),
                list(self.encode(without_thinking(completion_text(completions[i])))),
            )
            for i in rows
        ]
        scores = [float(score) for score in self.compare(sequences)]
        if len(scores) != len(rows):
            raise RewardError(f"compare was given {len(rows)} sequences and returned {len(scores)} scores")
        found = dict(zip(rows, scores, strict=True))
        return [found.get(i) for i in range(len(completions))]


def without_thinking(text: str) -> str:
    """What follows the last ``</think>``, without the white space before it; the text itself if there is none.

    Example:
        >>> without_thinking("<think>2 + 2</think> 4")
        '4'
    """
    return text.rpartition("</think>")[2].lstrip() if "</think>" in text else text


@register(
    Card(
        title="Pre-Trained Policy Discriminators are General Reward Models",
        arxiv="2507.05197",
        formula="r = z(prompt, reference | prompt, completion), trained by -log sigmoid(z_chosen - z_rejected)",
        code="InternLM/POLAR@80626f3, InternLM/xtuner@b934f46",
        parity="authors' ranking loss on three pairs",
        kind="reward",
        needs=("a reward model", "column answer"),
    )
)
def polar(encode: Encode, compare: Compare, layout: Layout) -> ReferenceReward:
    """POLAR: the score that a model gives to a completion beside a reference answer to the same prompt.

        r = z(prompt newline reference SEP prompt newline completion END)

    The thinking before ``</think>`` is not shown to it. The score has no range (about -0.6 for a good answer and -11
    for a bad one in the authors' example): take a method that normalises. The model is fine-tuned with
    :func:`concord.functional.ranking.ranking_loss`; POLAR uses none of the penalties that its trainer offers.

    Args:
        encode: the model's tokenizer, without special tokens.
        compare: the model: one score for each sequence of tokens; called once a batch.
        layout: special tokens and limits.

    Without a reference the reward abstains. Its pre-training, on pairs of one policy against another's, is not here.
    Source: arXiv:2507.05197.
    """
    return ReferenceReward(encode, compare, layout)

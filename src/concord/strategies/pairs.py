"""A right answer and a wrong one for every prompt, made of its rollouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from concord.core.errors import BatchError
from concord.rewards.forms.groups import by_prompt

Corrupt = Callable[[str, str], str | None]
"""From a question and a right response to a wrong one of about its length; None where it fails."""
Differs = Callable[[str, str], bool]
"""Whether two responses come to different answers, by a verifier."""


@dataclass(frozen=True)
class Pair:
    """Two responses to one question; what is not valid must teach nothing.

    Attributes:
        question, reference: of the data.
        chosen, rejected: responses; one and the same where the pair is not valid for want of a wrong one.
        valid: whether ``chosen`` is right and ``rejected`` is wrong.
    """

    question: str
    reference: str
    chosen: str
    rejected: str
    valid: bool


def right_and_wrong(
    questions: Sequence[str],
    references: Sequence[str],
    responses: Sequence[str],
    scores: Sequence[float],
    corrupt: Corrupt,
    differs: Differs,
    tries: int = 3,
) -> list[Pair]:
    """Cooper's pairs: one for each question, in the order in which the questions come.

    Chosen is the first response whose score is exactly 1; rejected is what ``corrupt`` makes of it, if ``differs`` says
    that its answer is another, in at most ``tries`` tries. A question without a right response, or without a wrong
    one made of it, gives a pair that is not valid, so that every question counts in a batch.

    Args:
        questions, references, responses, scores: N each, by rollout; those of one question and reference are a group.
        corrupt, differs: asked only where there is a right response.
        tries: of ``corrupt``.

    Raises: BatchError unless all four are of one length.
    Source: arXiv:2508.05613; ZJU-REAL/cooper@a7e0c38 (``recipe/cooper/collaborate.py``).
    """
    lengths = {len(x) for x in (questions, references, responses, scores)}
    if len(lengths) > 1:
        raise BatchError(f"questions, references, responses and scores are of different lengths: {sorted(lengths)}")
    pairs = []
    for group in by_prompt(list(zip(questions, references, strict=True))):
        right = next((i for i in group if scores[i] == 1), None)
        first = group[0] if right is None else right
        chosen, question = responses[first], questions[first]
        wrong = None if right is None else _wrong(question, chosen, corrupt, differs, tries)
        pairs.append(Pair(question, references[first], chosen, chosen if wrong is None else wrong, wrong is not None))
    return pairs


def _wrong(question: str, right: str, corrupt: Corrupt, differs: Differs, tries: int) -> str | None:
    for _ in range(tries):
        made = corrupt(question, right)
        if made is not None and differs(right, made):
            return made
    return None

"""Rollouts that were scored become tasks of judging and of mending."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from concord.core.catalogue import Card, register
from concord.core.errors import BatchError, ConfigError


@dataclass(frozen=True)
class Solved:
    """The group of one prompt, scored.

    Attributes:
        question, truth: of the data.
        responses: G texts, reasoning and all.
        answers: the G final answers; None where none could be read.
        correct: G bools.

    Raises: BatchError unless the last three are of one length.
    """

    question: str
    truth: str
    responses: Sequence[str]
    answers: Sequence[str | None]
    correct: Sequence[bool]

    def __post_init__(self) -> None:
        if not len(self.responses) == len(self.answers) == len(self.correct):
            lengths = len(self.responses), len(self.answers), len(self.correct)
            raise BatchError(f"responses, answers and correct are of different lengths: {lengths}")

    def members(self, correct: bool) -> list[int]:
        """Those that are right, or wrong, and whose answer could be read."""
        return [i for i, right in enumerate(self.correct) if bool(right) is correct and self.answers[i] is not None]


@dataclass(frozen=True)
class Item:
    """A task with an answer to verify, as any other row of the data.

    Attributes:
        kind: judge one answer, judge two, or mend a wrong one.
        prompt: the task.
        answer: "right" or "wrong"; "A" or "B"; the truth.
    """

    kind: Literal["pointwise", "pairwise", "reflection"]
    prompt: str
    answer: str


@dataclass(frozen=True)
class Recycler:
    """What becomes of a batch of groups.

    Attributes:
        pointwise: how often a mixed group gives one answer to judge and not two.
        most: items of judging, and items of mending, at most.
    """

    pointwise: float
    most: int

    def recycle(self, groups: Sequence[Solved], rng: random.Random) -> list[Item]:
        """The items of a batch: those of judging first. Groups that give none are passed over."""
        judge = [item for group in groups if (item := self._judged(group, rng)) is not None]
        half = len(groups) // 2
        mend = [_mended(group, i < half, rng) for i, group in enumerate(groups)]
        found = [item for item in mend if item is not None]
        return [*_some(judge, self.most, rng), *_some(found, self.most, rng)]

    def _judged(self, group: Solved, rng: random.Random) -> Item | None:
        right, wrong = group.members(True), group.members(False)
        if all(group.correct):
            return _pointwise(group, right[0], "right") if right else None
        if not any(group.correct):
            return _pointwise(group, rng.choice(wrong), "wrong") if wrong else None
        if not right or not wrong:
            return None
        if rng.random() < self.pointwise:
            members, label = rng.choice([(right, "right"), (wrong, "wrong")])
            return _pointwise(group, rng.choice(members), label)
        return _pairwise(group, rng.choice(right), rng.choice(wrong), rng.choice("AB"))


def _pointwise(group: Solved, member: int, label: str) -> Item:
    prompt = f"{group.question}\n\nProposed answer: {group.answers[member]}\n\nIs it right? Answer with right or wrong."
    return Item("pointwise", prompt, label)


def _pairwise(group: Solved, right: int, wrong: int, slot: str) -> Item:
    a, b = (right, wrong) if slot == "A" else (wrong, right)
    shown = f"A: {group.answers[a]}\nB: {group.answers[b]}"
    return Item("pairwise", f"{group.question}\n\n{shown}\n\nWhich is right? Answer with A or B.", slot)


def _mended(group: Solved, whole: bool, rng: random.Random) -> Item | None:
    """Mend a whole wrong response, or only its final answer, which must have been read then."""
    wrong = [i for i, right in enumerate(group.correct) if not right] if whole else group.members(False)
    if not wrong:
        return None
    member = rng.choice(wrong)
    shown = group.responses[member] if whole else group.answers[member]
    prompt = f"{group.question}\n\nThis attempt is wrong:\n{shown}\n\nFind the mistake, and solve the task."
    return Item("reflection", prompt, group.truth)


def _some(items: list[Item], most: int, rng: random.Random) -> list[Item]:
    return items if len(items) <= most else rng.sample(items, most)


@register(
    Card(
        title="SPARK: Synergistic Policy And Reward Co-Evolving Framework",
        arxiv="2509.22624",
        formula="scored groups -> judge one answer | judge two | mend a wrong one, as rows with a verifiable answer",
        code="InternLM/Spark@bc47b93",
        parity="authors' code on 16 groups: possible items and labels, exactly; how often, 2,000 seeds, to 5 sigma",
        kind="strategy",
        needs=("final answers",),
    )
)
def spark(*, pointwise: float = 0.3, most: int = 32) -> Recycler:
    """SPARK: the rollouts that trained the policy train it again, as a judge and as one who mends.

        all right    the first answer that could be read: right or wrong?  -> right
        all wrong    a random one:  right or wrong?                        -> wrong
        mixed        with probability ``pointwise`` a random one of a class drawn evenly: right or wrong?
                     else a random right one against a random wrong one:   -> A or B, drawn evenly
        and          a wrong response (first half of the groups: whole; second: its answer), to be mended -> the truth

    Collect items until they make a batch of the usual size (64 prompts of 8 in the authors' runs), then train on
    them as on other rows, with the same verified reward; batches of items give no further items. The policy's own
    step is GRPO's.

    Args:
        pointwise: in [0, 1].
        most: items of judging a batch, and as many of mending; drawn uniformly if there are more.

    Differences: of a group that is all right the authors show rollout 0's answer, here the first that could be read;
    of a group that is all wrong without a readable answer their index may stem from an earlier prompt, here the
    group is passed over. Of a mixed group they draw among all answers, and give no item if one drawn could not be
    read; here the draw is among those that could, and there is no item if a class has none. Their 44 prompt templates
    are not here: each kind has one, in our words.
    Raises: ConfigError for a share outside [0, 1] or fewer than one item.
    Source: arXiv:2509.22624.

    Example:
        >>> group = Solved("2 + 2?", "4", ["so 4", "so 5"], ["4", "5"], [True, False])
        >>> [item.kind for item in spark(pointwise=0.0).recycle([group], random.Random(0))]
        ['pairwise', 'reflection']
    """
    if not 0 <= pointwise <= 1 or most < 1:
        raise ConfigError(f"pointwise must be in [0, 1] and most at least 1, got {pointwise} and {most}")
    return Recycler(pointwise, most)

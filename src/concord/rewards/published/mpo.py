"""A judge's rubric that another judge rewrites while it is in use."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.chat import prompt_text

Ask = Callable[[str], str]
"""A language model: what it answers to a prompt."""

_NUMBER = re.compile(r"-?\d+")
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s*")


@dataclass(frozen=True)
class Judged:
    """One scored completion, as the meta-judge sees it.

    Attributes:
        task, response: what was asked and answered.
        score: by the rubric of number ``version``.
        version: 0 for the first rubric.
    """

    task: str
    response: str
    score: float
    version: int


class EvolvingRubric:
    """A reward in TRL's form: the sum of a judge's whole numbers over the items of a rubric that changes.

    Attributes:
        versions: all rubrics so far, the one in force last. To resume, put them back.
        pool: what was judged since the last change.
    """

    def __init__(self, judge: Ask, meta: Ask, rubric: Sequence[str], every: int, samples: int, seed: int) -> None:
        self._judge, self._meta = judge, meta
        self._every, self._samples = every, samples
        self._random = random.Random(seed)
        self._batches = 0
        self.versions = [tuple(rubric)]
        self.pool: list[Judged] = []

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any) -> list[float]:
        """One score for each completion; then, where it is time, a new rubric for the next batch."""
        version = len(self.versions) - 1
        batch = []
        for prompt, completion in zip(prompts, completions, strict=True):
            task, response = prompt_text(prompt), completion_text(completion)
            batch.append(Judged(task, response, self.score(task, response), version))
        self.pool += batch
        self._batches += 1
        if self._batches % self._every == 0 and self.pool:
            self.evolve()
        return [judged.score for judged in batch]

    def score(self, task: str, response: str) -> float:
        """The sum over the rubric's items; an answer without a whole number counts 0."""
        total = 0
        for item in self.versions[-1]:
            shown = f"Task:\n{task}\n\nResponse:\n{response}\n\nCriterion:\n{item}\n\n"
            reason = self._judge(f"{shown}In one sentence, say how well the response meets the criterion.")
            answer = self._judge(f"{shown}Assessment:\n{reason}\n\nAnswer with the score only, a whole number.")
            number = _NUMBER.search(answer)
            total += int(number[0]) if number else 0
        return float(total)

    def evolve(self) -> None:
        """Have the meta-judge analyse a sample of the pool, refine the rubric for each, and merge what it wrote.

        Two calls a sample and one more. The items of the new rubric are the lines of the last answer, each once; an
        answer without a line leaves the rubric as it is. The pool is emptied.
        """
        rubric = "\n".join(self.versions[-1])
        sample = self._random.sample(self.pool, min(self._samples, len(self.pool)))
        refined = []
        for judged in sample:
            seen = f"Rubric:\n{rubric}\n\nTask:\n{judged.task}\n\nResponse:\n{judged.response}\n\nScore: {judged.score}"
            analysis = self._meta(
                f"{seen}\n\nWhere is this score inflated, which criteria are missing, which part of the scale is "
                "never used?"
            )
            refined.append(self._meta(f"{seen}\n\nAnalysis:\n{analysis}\n\nWrite a better rubric, one item a line."))
        together = "\n\n".join(refined)
        merged = self._meta(f"Rubrics:\n{together}\n\nMerge them into one rubric, one item a line, none twice.")
        lines = (_BULLET.sub("", line).strip() for line in merged.splitlines())
        if items := tuple(dict.fromkeys(line for line in lines if line)):
            self.versions.append(items)
        self.pool = []


@register(
    Card(
        title="Toward Evaluative Thinking: Meta Policy Optimization with Evolving Reward Models",
        arxiv="2504.20157",
        formula="r = sum over rubric items of the judge's score; the rubric is rewritten every M batches",
        code="minnesotanlp/mpo@19972d3",
        parity="authors' scores, when it changes, samples drawn and items merged, exactly; scripted judges",
        kind="reward",
        needs=("a judge", "a meta-judge"),
    )
)
def mpo(
    judge: Ask, meta: Ask, rubric: Sequence[str], *, every: int = 10, samples: int = 20, seed: int = 0
) -> EvolvingRubric:
    """MPO: a language model scores by a rubric, and another rewrites the rubric from what it let pass.

        r = sum over the rubric's items of a whole number from the judge
        after batch M, 2 M, 3 M, ...:  n samples -> analyse -> refine -> merge

    Args:
        judge: asked twice for each completion and item: for a reason, then for a number.
        meta: asked 2 n + 1 times at every change of the rubric.
        rubric: the items to begin with; each says its scale.
        every: M; 10 in the authors' configuration, 20 in their script.
        samples: n, at most; 20 in the configuration, 16 in the script.
        seed: of the samples.

    The policy's side is PPO with any advantage. The words of the prompts are ours. Scores of different rubrics have
    different scales: take a method that normalises within the group. Their word limits, their pre-screening (off in
    their trainer) and the mathematics variant with its clusters are not here. The whole batch is judged by one rubric.
    Raises: ConfigError for an empty rubric, or ``every`` or ``samples`` below 1.
    Source: arXiv:2504.20157.

    Example:
        >>> reward = mpo(lambda prompt: "3", lambda prompt: "- clarity", ["grammar, 0 to 5", "length, 0 to 5"])
        >>> reward(["Write."], ["A story."])
        [6.0]
    """
    if not rubric or isinstance(rubric, str):
        raise ConfigError(f"the rubric is a list of items, one at least; got {rubric!r}")
    if every < 1 or samples < 1:
        raise ConfigError(f"every and samples must be at least 1, got {every} and {samples}")
    return EvolvingRubric(judge, meta, rubric, every, samples, seed)

"""One model as player and referee: a reward for each kind of row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.catalogue import Card, register
from concord.core.errors import RewardError, nearest
from concord.functional.ranking import kendall_tau
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.chat import prompt_text
from concord.rewards.forms.groups import by_prompt

Rule = Callable[[str, Any], float]
"""Score of a completion's text beside the row's answer."""
Referee = Callable[[str, Sequence[str]], Sequence[float]]
"""A score for each answer to one prompt; in the paper the policy itself, asked once more."""

SOURCES = ("verifiable", "preference", "open")

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


@dataclass(frozen=True)
class UnifiedReward:
    """A reward in TRL's form that the column ``source`` directs."""

    rule: Rule
    referee: Referee

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Completion],
        source: Sequence[str],
        answer: Sequence[Any],
        **_: Any,
    ) -> list[float | None]:
        """One score for each completion.

        Raises:
            RewardError: a source of another name; the referee returned another number of scores.
        """
        texts = [completion_text(completion) for completion in completions]
        scores: list[float | None] = [None] * len(texts)
        for group in by_prompt(list(zip(prompts, source, strict=True))):
            kind = source[group[0]]
            if kind == "open":
                found = self._judge(prompts[group[0]], [texts[i] for i in group])
            elif kind in SOURCES:
                compare = self.rule if kind == "verifiable" else agreement
                found = [None if answer[i] is None else compare(texts[i], answer[i]) for i in group]
            else:
                raise RewardError(f"source is one of {', '.join(SOURCES)}; got {kind!r}" + nearest(str(kind), SOURCES))
            for i, score in zip(group, found, strict=True):
                scores[i] = score
        return scores

    def _judge(self, prompt: Any, answers: Sequence[str]) -> list[float | None]:
        found: list[float | None] = [float(score) for score in self.referee(prompt_text(prompt), answers)]
        if len(found) != len(answers):
            raise RewardError(f"the referee was asked about {len(answers)} answers and returned {len(found)} scores")
        return found


def agreement(judgement: str, truth: Sequence[float]) -> float:
    """Kendall's tau between the last numbers of a judgement, one for each response, and the true scores.

    -1 where the judgement holds fewer numbers than there are responses.

    Example:
        >>> agreement("Of 3 answers I give: 9, 5, 7", [3, 1, 2]), agreement("none", [3, 1, 2])
        (1.0, -1.0)
    """
    numbers = [float(number) for number in _NUMBER.findall(judgement)][-len(truth) :]
    return kendall_tau(numbers, truth) if len(numbers) == len(truth) else -1.0


@register(
    Card(
        title="URPO: A Unified Reward & Policy Optimization Framework for Large Language Models",
        arxiv="2507.17515",
        formula="r = rule(y) | tau(judgement, true order) | the policy's own score of y, by the kind of row",
        certainty="low",
        kind="reward",
        needs=("a rule", "a referee", "column source", "column answer"),
    )
)
def urpo(rule: Rule, referee: Referee) -> UnifiedReward:
    """URPO in outline: verifiable tasks, judging and open tasks in one batch, for one model and one GRPO.

        verifiable:  r = rule(y, answer)
        preference:  the prompt shows responses, y scores them; r = Kendall's tau with the true scores, -1 if y does not
        open:        r = the referee's score of y among the answers of its group

    Args:
        rule: for rows whose ``source`` is "verifiable".
        referee: for rows whose ``source`` is "open"; asked once for each group. In the paper it is the policy. Its
            scores are numbers by the time they are rewards: no gradient goes through the judgement.

    Assumed, as the paper's formulas were not found: that the agreement is Kendall's tau with ties counted 0, that a
    judgement that cannot be read is -1, one judgement a group, and how the kinds are mixed, which is the data set's.
    A row without an answer that needs one abstains; referees' equal scores give a group no advantage.
    Source: arXiv:2507.17515.
    """
    return UnifiedReward(rule, referee)

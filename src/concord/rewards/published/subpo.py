"""What each completion adds to those before it in its group."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.catalogue import Card, register
from concord.functional.submodular import coverage, marginal_gains
from concord.rewards.completions import Completion, completion_text
from concord.rewards.forms.groups import by_prompt

SetFunction = Callable[[Sequence[str]], float]
"""What some texts are worth together; 0 or anything else for none."""


def words(texts: Sequence[str]) -> int:
    """How many different words the texts have together.

    Example:
        >>> words(["the red fox", "the fox"])
        3
    """
    return coverage([text.split() for text in texts])


@dataclass(frozen=True)
class MarginalGain:
    """A reward in TRL's form: the gains of :func:`concord.functional.submodular.marginal_gains`, group by group."""

    function: SetFunction = words

    def __call__(self, prompts: Sequence[Any], completions: Sequence[Completion], **_: Any) -> list[float]:
        """One gain for each completion, in the order of the batch within each prompt."""
        texts = [completion_text(completion) for completion in completions]
        gains: dict[int, float] = {}
        for group in by_prompt(prompts):
            found = marginal_gains(self.function, [texts[i] for i in group])
            gains.update(zip(group, found, strict=True))
        return [gains[i] for i in range(len(texts))]


@register(
    Card(
        title="Submodular Reinforcement Learning",
        arxiv="2307.13372",
        formula="r_i = F({y_1..y_i}) - F({y_1..y_i-1}), F a function of sets",
        code="manish-pra/non-additive-RL@bdb52da",
        certainty="low",
        kind="reward",
    )
)
def subpo(*, function: SetFunction = words) -> MarginalGain:
    """SubPO: a rollout is worth what it adds to those before it in its group, so that a group covers much.

        r_i = F({y_1..y_i}) - F({y_1..y_i-1})

    The gains of a group add up to F(group) - F(nothing). Rollouts of a prompt are alike in distribution, so the order
    of the batch is a random order. A repeated completion gains nothing where F is a coverage.

    Args:
        function: F, of texts; the number of different words by default. For embeddings, compose it with
            :func:`concord.functional.submodular.log_volume`. It is asked once for each rollout and group.

    Assumed: the paper gives marginal gains to the steps of a trajectory, and its advantage is the reward to go; that
    a group of completions is such a set is ours. The authors' released code weighs log-probabilities by the
    cumulative F over its maximum instead, with the marginal gains commented out.
    An empty group does not arise; an empty completion gains 0 under a coverage.
    Source: arXiv:2307.13372.

    Example:
        >>> subpo()(["p", "p", "q"], ["a b", "b c", "b"])
        [2, 1, 1]
    """
    return MarginalGain(function)

"""Have the policy revise its best failures, and learn from what became of them."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from concord.core.catalogue import Card, register
from concord.core.errors import ConfigError


class Replacement(NamedTuple):
    """Who takes whose place in a group of G.

    Attributes:
        row: the member that leaves.
        revision: the index of the revision that takes its place; None = the member ``copy`` does, once more.
        copy: a member of the group; None where a revision does.
    """

    row: int
    revision: int | None
    copy: int | None


@dataclass(frozen=True)
class Revisions:
    """What of a group is revised, what a revision is worth to its draft, and where it goes.

    Attributes:
        alpha: the share of the improvement that a draft gets.
        target: a group whose best score reaches it needs no revision.
        most: drafts of one group at most.
    """

    alpha: float
    target: float
    most: int

    def drafts(self, scores: Sequence[float]) -> list[int]:
        """The members of a group to revise: those tied for best, none if the best reaches the target.

        A member without a score (NaN) is no draft, nor is anything in a group without scores.
        """
        best = _best(scores)
        if best == -math.inf or best >= self.target:
            return []
        return [i for i, score in enumerate(scores) if score == best][: self.most]

    def shaped(self, scores: Sequence[float], revised: Mapping[int, Sequence[float]]) -> list[float]:
        """The scores of a group with the bonus: ``R + alpha * (best revision - R)`` for a draft; others as they were.

        Args:
            scores: of the members.
            revised: by draft, the scores of its revisions; one that is worse than its draft lowers the draft's score.
        """
        found = list(scores)
        for draft, revisions in revised.items():
            if (best := _best(revisions)) > -math.inf:
                found[draft] += self.alpha * (best - found[draft])
        return found

    def replace(self, scores: Sequence[float], revisions: Sequence[float], rng: random.Random) -> Replacement | None:
        """The best revision in the place of a random member; a copy of the best member if no revision is as good.

        Args:
            scores: of the members, as scored, without the bonus.
            revisions: scores of all revisions of the group.
            rng: draws the member that leaves.

        None for a group that has no scores.
        """
        best = _best(scores)
        if best == -math.inf:
            return None
        row = rng.randrange(len(scores))
        reached = _best(revisions)
        if reached >= best:
            return Replacement(row, list(revisions).index(reached), None)
        return Replacement(row, None, list(scores).index(best))


def _best(scores: Sequence[float]) -> float:
    return max((score for score in scores if not math.isnan(score)), default=-math.inf)


def revision_prompt(instruction: str, draft: str, met: Sequence[str], unmet: Sequence[str]) -> str:
    """The prompt of a revision: the instruction, the draft, and which criteria it meets and does not meet.

    What comes of it is trained on with this prompt before it.
    """
    parts = {
        "Instruction": instruction,
        "Draft": draft,
        "Criteria that the draft meets": "\n".join(f"- {item}" for item in met) or "none",
        "Criteria that it does not meet yet": "\n".join(f"- {item}" for item in unmet) or "none",
    }
    shown = "\n\n".join(f"{title}:\n{text}" for title, text in parts.items())
    return f"{shown}\n\nRevise the draft so that it meets all criteria. Answer with the revised text only."


@register(
    Card(
        title="Experience Is the Best Teacher: Motivating Effective Exploration in Reinforcement Learning for LLMs",
        arxiv="2603.20046",
        formula="R_draft += alpha * (best revision - R_draft); a revision replaces a member, with the loss "
        "-A x / (x + gamma)",
        code="sikelifei/HeRL@c527572",
        parity="authors' loss and gradient, four cases to 1e-6",
        kind="strategy",
        needs=("criteria met and not met", "a second sampling"),
    )
)
def herl(*, alpha: float = 0.05, target: float = 1.0, most: int = 16) -> Revisions:
    """HeRL: revise the best drafts of a group that falls short, and learn from the revision.

        drafts:   the members tied for the best score, if that is below the target
        bonus:    R_i + alpha * (best revision of i - R_i)
        replace:  the best revision, if at least as good as the group's best, for a random member;
                  else a copy of the best member
        loss:     -A x / (x + gamma) on the revision's tokens, PPO's on the others

    The revision is sampled from :func:`revision_prompt` and trained on with that prompt; its behaviour
    log-probabilities are its ``old_logp``. The loss is :class:`concord.objectives.MixedPolicy`, which
    :func:`concord.methods.with_revisions` puts into a method. In TRL,
    ``concord.engines.trl.revision.RevisingTrainer`` does all of it.

    Args:
        alpha: of the bonus.
        target: the score that needs no revision.
        most: drafts a group.

    Differences: among members that tie for best the authors copy the one with the most criteria met, here the
    first; they can replace several members (2 by default, 1 in their runs), here one. The words of the prompt are ours.
    Their scripts ask for revisions at a temperature of 0.3, which their vLLM worker does not read: it samples them as
    it does the drafts. Scores that are missing (NaN) are never best.
    Raises: ConfigError for alpha outside [0, 1] or fewer than one draft.
    Source: arXiv:2603.20046.

    Example:
        >>> strategy = herl()
        >>> strategy.drafts([0.5, 0.25, 0.5]), strategy.drafts([1.0, 0.25, 0.5])
        ([0, 2], [])
        >>> strategy.shaped([0.5, 0.25, 0.5], {0: [0.0, 1.0]})
        [0.525, 0.25, 0.5]
    """
    if not 0 <= alpha <= 1 or most < 1:
        raise ConfigError(f"alpha must be in [0, 1] and most at least 1, got {alpha} and {most}")
    return Revisions(alpha, target, most)

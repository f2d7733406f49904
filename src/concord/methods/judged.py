"""Methods whose reward is a judge's verdict on two responses."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean
from concord.stages import Centre, DropLopsidedGroups, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="A Minimaximalist Approach to Reinforcement Learning from Human Feedback",
        arxiv="2401.04056",
        formula="A = r - mean_group(r), r_i = mean_{j != i} P(i beats j)",
        certainty="low",
        needs=("a pairwise judge: concord.rewards.WinRate",),
    )
)
def spo(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """SPO: a response is worth the share of its siblings that it beats.

        r[i] = mean(P(i beats j) : j in group(i), j != i),      A[i] = r[i] - mean_g

    The reward is :class:`concord.rewards.WinRate` over a judge; this is what follows it. The group's mean is
    1/2; where preferences go in a circle all rewards are equal, and nothing is pushed.

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" adds its dual clip of 3.

    Source: arXiv:2401.04056, which compares with a queue of recent trajectories and has no experiment on language
    models; that the group's mean is the baseline, and the loss GRPO's, is our choice.
    """
    return Method(
        Chain((Weigh(weights), Sum(), Centre())),
        PolicyObjective(surrogate=Clip(clip, clip, constants(numerics).dual_clip), reduce=SequenceMean()),
    )


@register(
    Card(
        title="Writing-Zero: Bridge the Gap Between Non-verifiable Tasks and Verifiable Rewards",
        arxiv="2506.00103",
        formula="A = +1 if it beats a reference drawn from its group, else -1; groups with |sum A| / G > 0.6 dropped",
        certainty="low",
        needs=("a pairwise judge: concord.rewards.AgainstReference",),
    )
)
def brpo(*, limit: float = 0.6, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """BRPO: one response of the group is the yardstick, and each other wins or loses against it.

        A[i] = +1 if the judge prefers i to the reference, -1 if not, 0 for the reference itself
        keep a group if |sum_g A| / G <= limit

    The reward is :class:`concord.rewards.AgainstReference` over a judge; this is what follows it: no normalisation, the
    verdict is the advantage. Averaged over the reference it is SPO's reward, times 2 (G - 1) / G and less its mean.

    Args:
        limit: groups beyond it had a reference that was too weak or too strong; they leave the batch, and the engine
            may draw others.
        weights: reward weights by name; 1 where not named. Verdicts only: any other reward would be an advantage as it
            stands.
        clip: bound on the ratio, both ways.
        numerics: "verl" adds its dual clip of 3.

    Source: descriptions of arXiv:2506.00103, and trainers by others; no code of its authors was found.
    """
    return Method(
        Chain((Weigh(weights), Sum(), DropLopsidedGroups(limit))),
        PolicyObjective(surrogate=Clip(clip, clip, constants(numerics).dual_clip), reduce=SequenceMean()),
        count_dropped=False,
    )

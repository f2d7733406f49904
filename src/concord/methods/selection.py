"""GRPO on some rollouts more than on others."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean
from concord.stages import GroupNormalize, KeepExtremes, ScaleByDifficulty, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="ChatShopBuddy: Towards Reliable Conversational Shopping Agents via Reinforcement Learning",
        arxiv="2603.06065",
        formula="GRPO's A over the best and the worst quarter of each group; of equals the short ones are better",
        certainty="low",
    )
)
def contrastive_subset(
    *, share: float = 0.5, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl"
) -> Method:
    """Train on the ends of each group: short good responses against bad long ones. Our design, inspired by the paper's.

        keep the first and the last share * G / 2 by (reward falling, length rising)
        A[n] = (r[n] - mean_g) / (std_g + eps)      over the kept

    The paper calls its own rule Dynamic Contrastive Policy Optimization, DCPO; it is not :func:`dcpo`, and its exact
    form is not public. Its nested rewards (a later one counts only where an earlier one is met) are gates: ``when:
    correctness >= 1`` on a reward in a run's configuration, :class:`concord.rewards.Gates` in code.

    Args:
        share: of the group that is kept; the paper trains on 8 of 16.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    A group of up to two is kept whole; a unanimous group gives exactly 0. What is dropped leaves the denominators.
    Source: inspired by arXiv:2603.06065.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), KeepExtremes(share), GroupNormalize(n.eps))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
        count_dropped=False,
    )


@register(
    Card(
        title="Inverse Reinforcement Learning with Dynamic Reward Scaling for LLM Alignment",
        arxiv="2503.18991",
        formula="A = a * (r - mean_group(r)) / (std_group(r) + eps), a from the distance to a demonstration",
        certainty="low",
        needs=("demonstrations",),
    )
)
def grpo_s(*, tau: float = 1.0, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """GRPO-S: GRPO with advantages scaled by how far responses are from a demonstration. Our reading of DR-IRL.

        d = 1 - similarity to the demonstration,   R = the demonstration's reward - r
        a[n] = sigmoid(d[n]) / sigmoid(mean_g d) * sigmoid(mean_g R') / sigmoid(mean_g R)
        A[n] = a[n] * (r[n] - mean_g) / (std_g + eps)             R' without the R with (R - mean_g R)^2 > tau

    Args:
        tau: bound on what counts as an outlier. Assumed: the value is not published.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    Assumed: all means are over the group. By the formula a response less like the demonstration counts more, while the
    descriptions of the method say that a larger a means an easier one; the formula is what is computed. The reward
    models trained from demonstrations are not part of this.
    Source: descriptions of arXiv:2503.18991; no code was found.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps), ScaleByDifficulty(tau, weights))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
    )

"""Methods that tell the tokens of a response apart by what they share with others."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean
from concord.stages import GroupNormalize, ReweightDominantTokens, SoftenSharedTokens, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="On the Effect of Negative Gradient in Group Relative Deep Reinforcement Optimization",
        arxiv="2505.18830",
        formula="GRPO's A; times 2 |0.5 - share correct| on a wrong response's tokens that good ones share",
        certainty="low",
        parity="slow loops of the score and of the rule",
    )
)
def nthr(*, weights: Weights = (), beta: float = 1.0, clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """Negative Token Hidden Reward: wrong responses push less on the tokens that correct ones need.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        limit_g = beta * min(mean_t(score[i]) : A[i] > 0)
        A[n, t] = A[n] * 2 * |0.5 - correct_g / G|   where A[n] < 0 and score[n, t] > limit_g,   else A[n]

    Args:
        weights: reward weights by name; 1 where not named.
        beta: scales the limit.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    The scores are a column ``token_scores`` that :func:`concord.functional.token_scores.token_scores` computes from
    hidden states and probabilities at every token; Concord's trainer for TRL supplies it. Groups of one label are left
    alone. ``thr`` reads the same scores on the tokens of all responses. Source: arXiv:2505.18830, through a description
    of an implementation; no code of its authors was read.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps), SoftenSharedTokens(beta))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
    )


@register(
    Card(
        title="Token Hidden Reward: Steering Exploration-Exploitation in Group Relative Deep Reinforcement Learning",
        arxiv="2510.03669",
        formula="GRPO's A; times 1 + p sign(THR) on tokens of high |THR|, 0 on the others; THR = sign(A) score",
        certainty="low",
        parity="slow loops of the score and of the rule",
    )
)
def thr(
    *, weights: Weights = (), p: float = 0.1, beta: float = 1.0, clip: float = 0.2, numerics: Numerics = "verl"
) -> Method:
    """Token Hidden Reward: only tokens that move the correct responses train, by which way they move them.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        THR[n, t] = sign(A[n]) * score[n, t]
        limit_g = beta * min(mean_t(score[i]) : A[i] > 0)
        A[n, t] = A[n] * (1 + p * sign(THR[n, t]))   where |THR[n, t]| > limit_g,   else 0

    A token's score is its kernel with all tokens of its group's correct responses, so where THR is above 0 training on
    the token makes them likelier. ``p > 0`` exploits (greedy accuracy), ``p < 0`` explores (pass@k), and ``p = 0``
    trains on the dominant tokens only, all alike.

    Args:
        weights: reward weights by name; 1 where not named.
        p: in [-1, 1]. 0.1 is a choice of ours; the paper's values are not in the sources at hand.
        beta: scales the limit.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    The scores are ``nthr``'s column ``token_scores``; Concord's trainer for TRL supplies it. Where the correct response
    of the lowest mean score has one below 0 the limit is negative, and every token of the group trains. Groups of one
    label are left alone, as in ``nthr``; with rewards of two values their advantage is 0 anyway.

    Assumed: the factor, the limit, groups of one label, and that THR has the sign of A and not its size. Descriptions
    of the paper say that tokens of low influence are masked, that the others are amplified by the sign of THR, and that
    the threshold follows the predecessor's. Whether the score is a sum over the correct responses or their mean does
    not matter, since the limit scales with it. Source: arXiv:2510.03669; no code of its authors was found.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps), ReweightDominantTokens(p, beta))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
    )

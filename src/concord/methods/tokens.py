"""Methods that tell the tokens of a response apart by what they share with others."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean
from concord.stages import GroupNormalize, SoftenSharedTokens, Sum, Weigh
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
    hidden states and probabilities at every token; no engine here hands those out, a loop of one's own does. Groups of
    one label are left alone. THR, arXiv:2510.03669, scales by the same scores; its factor and its threshold are not in
    the sources at hand. Source: arXiv:2505.18830, through a description of an implementation; no code of its authors
    was read.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps), SoftenSharedTokens(beta))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
    )

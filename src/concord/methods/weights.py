"""Methods that weigh a group by how the batch, or length, has it."""

from __future__ import annotations

from typing import Literal

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.objectives import Clip, FixedLength, PolicyObjective, SequenceMean, TokenMean
from concord.stages import Average, BetaNormalize, GroupNormalize, LengthAdvantage, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="BNPO: Beta Normalization Policy Optimization",
        arxiv="2506.02864",
        formula="A = mean_k((r_k - p_k) * min(1 / Beta(p_k; alpha_k, beta_k), 1e6)), p the group's mean, "
        "alpha and beta from the batch's p; not the token mean that TRL and ms-swift call loss_type bnpo",
        code="changyi7231/BNPO@a9c51b9",
        parity="authors' numbers to 2e-5 of their size",
    )
)
def bnpo(
    *, low: float = 0.0, high: float = 1.0, weights: Weights = (), clip_low: float = 0.2, clip_high: float = 0.28
) -> Method:
    """BNPO: the group's mean is the baseline, a Beta density fitted to the batch's success rates the unit.

        A_k[n] = (r_k[n] - p_k) * min(1 / Beta(p_k; alpha_k, beta_k), 1e6),   p_k = mean_g(r_k)
        A = mean over rewards of w_k A_k,      each reward with a density of its own
        loss = mean over responses of the sum over tokens of the clipped surrogate, dual clip 10

    alpha and beta are those of a third of the way from the uniform density to the batch's own, by moments; see
    :class:`concord.stages.BetaNormalize` for the formula and for what happens where the batch says too little.

    Args:
        low, high: the range of the rewards, mapped to [0, 1]; the same for all of them.
        weights: by reward name, on the normalised rewards; 1 where not named.
        clip_low, clip_high: bounds on the ratio.

    The name is taken twice: ``loss_type="bnpo"`` of TRL and ms-swift is a token mean over the local batch and has
    nothing of this in it. Differences from the authors' code: it has no weights; where all groups have one mean it
    divides by 0, here the weight is 1; a group of one gives 0 here and its weighted reward there.
    Source: arXiv:2506.02864; the decomposition over rewards is ``use_advantage_decomposition`` of the authors' code,
    off in their script, which has one reward.
    """
    return Method(
        Chain((BetaNormalize(low, high), Weigh(weights), Average())),
        PolicyObjective(surrogate=Clip(clip_low, clip_high, 10.0), reduce=FixedLength(1)),
    )


@register(
    Card(
        title="ADORA: Training Reasoning Models with Dynamic Advantage Estimation on Reinforcement Learning",
        arxiv="2602.10019",
        formula="A = w_g (r - mean_group(r)) / (std_group(r) + eps), w = 1 where the longest right response is longer "
        "than the wrong ones' mean, else 0.1",
        code="ShadeCloak/ADORA@c518485",
        parity="authors' numbers of both rules to 1e-5",
    )
)
def adora(
    *,
    rule: Literal["llm", "vlm"] = "vlm",
    correct: str | None = None,
    threshold: float = 0.5,
    max_length: int = 4094,
    factor: float = 0.1,
    weights: Weights = (),
    clip: float = 0.2,
) -> Method:
    """ADORA: GRPO, with the groups scaled down in which longer responses were of no advantage.

        A[n] = w_g * (r[n] - mean_g) / (std_g + eps)
        w_g = 1 if the longest right response is longer than the mean of the wrong ones, else ``factor``

    Args:
        rule: which of the authors' two codes. They differ where a kind is absent: without a right response "llm"
            scales down and "vlm" does not, without a wrong one it is the other way round (which changes something only
            where right responses score differently). "llm" has eps 1e-6 and averages the loss over tokens, "vlm" has
            1e-9 and averages over responses.
        correct: the reward that says what is right; None = the sum of all.
        threshold: a score above it is right. The "llm" script has 1.01, on rewards from -3 to 3.
        max_length: responses of that many tokens do not count among the wrong ones; "llm" has 4054.
        factor: lambda.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.

    The paper as reviews tell of it also asks for a success rate of at most 0.5, and doubles in place of scaling down
    for language models; neither is in the public code, nor here. A KL penalty, 0.001 in the scripts, comes from the
    engine's ``beta``.
    Source: arXiv:2602.10019.
    """
    llm = rule == "llm"
    return Method(
        Chain(
            (
                Weigh(weights),
                Sum(),
                GroupNormalize(1e-6 if llm else 1e-9),
                LengthAdvantage(rule, correct, threshold, max_length, factor),
            )
        ),
        PolicyObjective(surrogate=Clip(clip, clip), reduce=TokenMean() if llm else SequenceMean()),
    )

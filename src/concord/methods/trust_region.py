"""Methods that price the distance from the policy that sampled, in place of a clip."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import PolicyObjective, PricedVariance, RatioVariance, TokenMean, Unclipped
from concord.stages import GroupNormalize, Sum, VariancePrice, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="Ratio-Variance Regularized Policy Optimization for Efficient LLM Fine-tuning",
        arxiv="2601.03320",
        formula="GRPO's A; loss = -ratio A + c (ratio - 1)^2, no clip",
        certainty="low",
        parity="relation: on policy its gradient is REINFORCE's",
        kind="loss",
    )
)
def r2vpo(*, weights: Weights = (), coefficient: float = 0.04, numerics: Numerics = "verl") -> Method:
    """R2VPO at a constant price: the ratio's variance is priced, in place of a clip.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        loss = sum over tokens of (-ratio * A[n] + coefficient * (ratio - 1)^2) / tokens

    The gradient of a token is ``-ratio * (A - 2 * coefficient * (ratio - 1))`` times that of its log-probability: a
    price that rises with the distance, where a clip takes the whole gradient away. ``coefficient=0`` has no brake.

    Args:
        weights: reward weights by name; 1 where not named.
        coefficient: the price; 0.04 is a third party's.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4).

    Assumed: the paper bounds the variance by a primal-dual step, which is ``r2vpo_dual``. Here the dual variable is a
    constant, 0.04 as in a third party's version; one ratio a token, and GRPO's advantage and the mean over tokens are
    assumed too. Also a rollout with advantage 0 has a gradient once the policy has moved. Source: arXiv:2601.03320, and
    arXiv:2605.26784.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(surrogate=Unclipped(), reduce=TokenMean(), penalties=(RatioVariance(coefficient),)),
    )


@register(
    Card(
        title="Ratio-Variance Regularized Policy Optimization for Efficient LLM Fine-tuning",
        arxiv="2601.03320",
        formula="GRPO's A; loss = -ratio A + c (ratio - 1)^2, no clip; c <- max(0, c + rate (variance - bound)) a step",
        certainty="low",
        parity="relation: at rate 0 it is r2vpo, bit for bit; slow loop of the price",
        kind="loss",
    )
)
def r2vpo_dual(
    *,
    weights: Weights = (),
    initial: float = 0.04,
    bound: float = 0.01,
    rate: float = 10.0,
    numerics: Numerics = "verl",
) -> Method:
    """R2VPO, primal-dual: the price of the ratio's variance rises while it is above a bound, and falls while below.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        loss = sum over tokens of (-ratio * A[n] + price * (ratio - 1)^2) / tokens
        price = max(0, price before + rate * (v - bound)),   v = mean over tokens of (ratio - 1)^2

    v is what the losses on the batch before measured, over all its optimisation steps, so the price is one number for a
    batch. Before anything was measured it is ``initial``. With one optimisation step a batch the ratio is 1 and v is 0:
    the price falls to 0, and this is REINFORCE with GRPO's advantage. v is a mean of squares, which one token far off
    can make large: the price rises by ``rate`` times as much at once, and falls by no more than ``rate * bound`` a
    batch.

    Args:
        weights: reward weights by name; 1 where not named.
        initial: the price at first; a third party's constant.
        bound: the variance to hold. 0.01 is a choice of ours: a ratio that is typically 0.1 from 1, half of PPO's clip.
        rate: of the price. 10 is a choice of ours: a token of advantage 1 stops at that distance where the price is 5,
            and at twice the bound the price rises by 0.1 a batch, so it gets there within tens of batches.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4).

    The column ``ratio_variance``, v in every row, is an engine's to supply; Concord's trainer for TRL and
    its plain loop do.

    Assumed: the Lagrangian's form and its dual step, of which the descriptions at hand say no more than "primal-dual";
    bound and rate; that v is the step's mean over tokens; one ratio a token, GRPO's advantage and the mean over tokens
    as in ``r2vpo``. Source: arXiv:2601.03320, and arXiv:2605.26784.
    """
    price = VariancePrice(initial, bound, rate)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps), price)),
        PolicyObjective(surrogate=Unclipped(), reduce=TokenMean(), penalties=(PricedVariance(),)),
    )

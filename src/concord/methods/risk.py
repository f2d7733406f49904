"""Methods that care for more than the mean: the lower end of the scores."""

from __future__ import annotations

from typing import Literal

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.methods.method import Method
from concord.objectives import Clip, PolicyObjective, TokenMean
from concord.stages import BundleRisk, Centre, GroupCvar, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="RiskPO: Risk-based Policy Optimization via Verifiable Reward for LLM Post-Training",
        arxiv="2510.00911",
        formula="a = (1.5 * tail + middle) / 2.5 / std_bundle of the summed scores of five prompts' j-th responses, "
        "tail and middle from tracked quantiles; A = a's share by r - mean_group(r)",
        code="RTkenny/RiskPO@65ec40c",
        parity="authors' numbers of both settings to 1e-5, with quantiles given and with the bundle's own",
    )
)
def risk_po(
    *,
    rule: Literal["hard", "easy"] = "hard",
    bundle: int = 5,
    tail: float = 1.5,
    lr: float = 0.1,
    weights: Weights = (),
    clip: float = 0.2,
) -> Method:
    """RiskPO: prompts are bundled into papers, and papers with a low score count for more.

        R = the sum of the j-th responses' scores of B prompts;   ql, qu = tracked quantiles of R
        middle = (clamp(R, ql, qu) - base) / (upper - lower),   low = -max(ql - R, 0) / lower
        a = (tail * low + middle) / (tail + 1) / std of the bundle's R

    and a is handed to the responses of the paper. :class:`concord.stages.BundleRisk` has the whole formula, the
    tracking, and the degenerate cases. Bundles are not groups: a prompt whose responses all scored alike is pushed
    with its paper where the others' shares cancel, and under "easy" always.

    Args:
        rule: the setting of the authors' script for hard or for easy problems. "hard": quantiles at 0.2 and 0.8, base
            ql, each response has the share (r - mean_g) of the paper's sum of these. "easy": 0.2 and 0.9, base qu (no
            push up), each response has a over the deviation of its group.
        bundle: B, prompts in a bundle, in the order of the batch.
        tail: w, the weight of the lower tail in the authors' scripts; the paper's omega, 0.5, is w - 1.
        lr: step size of the tracking, in the reward's units.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.

    Differences. In the authors' trainer the tracked quantiles never reach an advantage: they are written into a batch
    whose advantages are done, and the next batch is a new one, so that every bundle has its own quantiles in every
    step; here they are used from the second step on, as the paper has it (``lr=0`` fixes those of the first batch).
    Tracking begins at the first batch's quantiles, theirs at 0.
    Their weights are not the paper's: tail to middle is 1.5 : 1 there as densities, and here, as in the code,
    tail / lower to 1 / (upper - lower), 4.5 : 1 at 0.2 and 0.8. The paper clips a ratio of the sequence, the scripts
    one of the token, as here. ``std`` of a bundle whose papers are alike: see the stage.
    Source: arXiv:2510.00911.
    """
    if rule == "hard":
        stage = BundleRisk(bundle, 0.2, 0.8, tail, "share", "lower", lr)
    elif rule == "easy":
        stage = BundleRisk(bundle, 0.2, 0.9, tail, "deviation", "upper", lr)
    else:
        raise ConfigError(f"rule must be 'hard' or 'easy', got {rule!r}")
    return Method(
        Chain((Weigh(weights), Sum(), stage)),
        PolicyObjective(surrogate=Clip(clip, clip, 3.0), reduce=TokenMean()),
    )


@register(
    Card(
        title="Optimizing Return Distributions with Distributional Dynamic Programming",
        arxiv="2501.13028",
        formula="A = r' - mean_group(r'), r' = b + min(r - b, 0) / alpha, b the group's alpha-quantile",
        certainty="low",
        parity="CVaR of ten known values; with alpha 1 it is Dr. GRPO's advantage",
    )
)
def group_cvar(*, alpha: float = 0.25, weights: Weights = (), clip: float = 0.2) -> Method:
    """Group CVaR: improve the mean of the group's worst share in place of its mean.

        r'[n] = b + min(r[n] - b, 0) / alpha,   b = r_(floor(alpha G) + 1) of the group
        A[n] = r'[n] - mean_g(r')               mean_g(r') is CVaR_alpha of the group

    Every rollout above the quantile has the same small push up, those below are pushed down by how far.

    Args:
        alpha: the share of the worst, in (0, 1]; 1 is Dr. GRPO's advantage. Below 1 / G nothing is left of the group.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.

    What is assumed: the paper augments the state with a stock and optimises CVaR of the return over whole episodes; it
    has no language models. Here the stock is the group's own quantile, which is CVaR's best level for that group; the
    estimate is biased for small groups, as any quantile of few values is. For rewards along an episode see
    :func:`concord.functional.utility.utility_increments`. No code of the authors' was found.
    Source: arXiv:2501.13028.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupCvar(alpha), Centre())),
        PolicyObjective(surrogate=Clip(clip, clip), reduce=TokenMean()),
    )

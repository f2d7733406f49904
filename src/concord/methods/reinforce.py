"""REINFORCE++: the batch is the baseline."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, TokenMean
from concord.stages import Centre, LeaveOneOut, Sum, Weigh
from concord.stages.combine import Weights

_TITLE = "REINFORCE++: Stabilizing Critic-Free Policy Optimization with Global Advantage Normalization"
_CODE = "verl-project/verl@b178a3c (core_algos.py)"


@register(
    Card(
        title=_TITLE,
        arxiv="2501.03262",
        formula="A = (r - mean_batch(r)) / std_batch(r)",
        code=_CODE,
        parity="slow token-level loop",
    )
)
def reinforce_pp(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """REINFORCE++: the return, standardised over the whole batch; groups play no part.

        A[n] = (r[n] - mean_batch) / std_batch      statistics over tokens (verl) or rollouts (trl)

    With a discount of 1 and the reward at the last token, the return is r at every token. A group
    whose rewards are all equal therefore has a signal here: it is better or worse than the batch.

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (over tokens, 1 / sqrt(var + 1e-8), dual clip 3) or "trl" (over rollouts,
            1 / (std + 1e-4)).

    Source: arXiv:2501.03262. The paper's KL penalty stands in the token rewards; here it is the
    engine's ``beta``, in the loss.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), n.batch_normalize)),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=TokenMean()),
    )


@register(
    Card(
        title=_TITLE,
        arxiv="2501.03262",
        formula="A = whiten_batch(r - mean_group(r))",
        code=_CODE + ", huggingface/trl@f2cd577 (rloo_trainer.py)",
        parity="slow token-level loop",
    )
)
def reinforce_pp_baseline(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """REINFORCE++ with a group baseline: centre in the group, standardise over the batch.

        A = whiten(r - mean_g)

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (group mean; whitened over tokens) or "trl" (mean of the others; whitened
            over rollouts, which is TRL's ``normalize_advantages``).

    Groups without signal stay at exactly 0; verl gives them -mean / std. Source: arXiv:2501.03262.
    """
    n = constants(numerics)
    baseline = LeaveOneOut() if numerics == "trl" else Centre()
    return Method(
        Chain((Weigh(weights), Sum(), baseline, n.whiten)),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=TokenMean()),
    )

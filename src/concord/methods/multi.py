"""Methods that give every reward its own channel until they must meet."""

from __future__ import annotations

from typing import Literal

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import Clip, PolicyObjective, SequenceMean, TokenMean
from concord.stages import GroupNormalize, MaskConflicts, MaskLowConsensus, ReweightGroups, Sum, Weigh
from concord.stages.combine import Weights

_GD2PO = "GD2PO: Mitigating Multi-Reward Conflicts"
_GD2PO_CODE = "Qwen-Applications/GD2PO@f1ad765"


@register(
    Card(
        title="GDPO: Group reward-Decoupled Normalization Policy Optimization",
        arxiv="2601.05242",
        formula="A = whiten_batch(sum_k w_k z_k), z_k = (r_k - mean_group(r_k)) / (std_group(r_k) + eps)",
        code="NVlabs/GDPO@b080e63, huggingface/trl@f2cd577 (normalize_then_sum)",
        parity="authors' numbers of GD2PO's GDPO baseline; TRL 1.16",
    )
)
def gdpo(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """GDPO: normalise each reward in its group, then sum, then standardise over the batch.

        z_k = (r_k - mean_g(r_k)) / (std_g(r_k) + eps),   A = whiten(sum_k w_k z_k)

    Scaling or shifting a reward changes nothing; with one reward it is whitened GRPO.

    Args:
        weights: by reward name, on the normalised rewards; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6; whitened over tokens, 1 / sqrt(var + 1e-8); dual clip 3) or
            "trl" (eps 1e-4; whitened over rollouts, 1 / (std + 1e-4)). Where lengths vary the
            advantages of the two differ, by up to 0.43 in the batches of the tests.

    Groups without signal stay at exactly 0; the engines give them -mean / std.
    Source: arXiv:2601.05242.
    """
    n = constants(numerics)
    return Method(
        Chain((GroupNormalize(n.eps), Weigh(weights), Sum(), n.whiten)),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=TokenMean()),
    )


@register(
    Card(
        title=_GD2PO,
        arxiv="2606.16771",
        formula="GDPO with rollouts masked where rewards conflict and |sum A| / sum |A| < tau, "
        "groups scaled by the share kept",
        code=_GD2PO_CODE,
        parity="authors' numbers: masks equal, advantages to 1e-5",
    )
)
def gd2po(
    *,
    tau: float = 0.8,
    weights: Weights = (),
    clip: float = 0.2,
    rule: Literal["code", "paper"] = "code",
    numerics: Numerics = "verl",
) -> Method:
    """GD2PO: drop rollouts whose rewards cancel, weigh each query by the share it keeps.

        z_k = (r_k - mean_g(r_k)) / (std_g(r_k) + eps),   a_k = w_k z_k
        keep unless the a_k differ in sign and |sum_k a_k| / (sum_k |a_k| + 1e-8) < tau
        A = whiten(kept_g / G * sum_k a_k)   over the kept rollouts; exactly 0 elsewhere

    ``tau=1`` is GD2PO-hard, ``tau=0`` is GDPO.

    Args:
        tau: threshold of the signal-to-noise score, in [0, 1]. The authors' scripts use 0.8.
        weights: by reward name, on the normalised rewards; 1 where not named.
        clip: bound on the ratio, both ways.
        rule: "code" is the authors' code, above. "paper" is the text: every rollout with a score
            of at most tau is dropped, conflicting or not (so one without signal is); the share is
            multiplied after whitening; responses, not tokens, are averaged. Whitening after the
            share cancels whatever is common to all groups and can turn the sign of a kept rollout:
            in the fixture of the golden tests the two orders differ by up to 0.13.
        numerics: as for :func:`gdpo`.

    Dropped rollouts stay in the loss's denominators, in paper and code.
    Source: arXiv:2606.16771; the weights are the paper's, the authors' code has none.
    """
    n = constants(numerics)
    normalize = (GroupNormalize(n.eps), Weigh(weights))
    surrogate = Clip(clip, clip, n.dual_clip)
    if rule == "code":
        return Method(
            Chain((*normalize, MaskConflicts(tau), Sum(), ReweightGroups(), n.whiten)),
            PolicyObjective(surrogate=surrogate, reduce=TokenMean()),
        )
    if rule == "paper":
        return Method(
            Chain((*normalize, MaskLowConsensus(tau), Sum(), n.whiten, ReweightGroups())),
            PolicyObjective(surrogate=surrogate, reduce=SequenceMean()),
        )
    raise ConfigError(f"rule must be 'code' or 'paper', got {rule!r}")


@register(
    Card(
        title=_GD2PO,
        arxiv="2606.16771",
        formula="GDPO with every rollout masked that one reward pushes up and another down, "
        "groups scaled by the share kept",
        code=_GD2PO_CODE,
        parity="authors' numbers: masks equal, advantages to 1e-5",
    )
)
def gd2po_hard(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """GD2PO-hard, under the paper's name: ``gd2po(tau=1)``.

        keep unless some z_k > 0 and some z_l < 0

    Args:
        weights: by reward name; their signs matter here, their sizes only in the sum.
        clip: bound on the ratio, both ways.
        numerics: as for :func:`gdpo`.

    Source: arXiv:2606.16771.
    """
    return gd2po(tau=1.0, weights=weights, clip=clip, numerics=numerics)

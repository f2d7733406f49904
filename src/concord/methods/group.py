"""Methods that sum the rewards first and compare within the group."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import (
    Clip,
    FixedLength,
    PolicyObjective,
    SequenceMean,
    SequenceRatio,
    SequenceTokenRatio,
    TokenMean,
    TokenRatio,
    WholeSequenceRatio,
)
from concord.stages import (
    Centre,
    DropUniformGroups,
    GroupCentreBatchScale,
    GroupNormalize,
    LeaveOneOut,
    OverlongPenalty,
    Sum,
    Weigh,
)
from concord.stages.combine import Weights


@register(
    Card(
        title="DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        arxiv="2402.03300",
        formula="A = (r - mean_group(r)) / (std_group(r) + eps), r = sum_k w_k r_k",
        code="verl-project/verl@b178a3c, huggingface/trl@f2cd577",
        parity="authors' numbers of GD2PO's GRPO baseline; TRL 1.16",
    )
)
def grpo(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """Group Relative Policy Optimization: the group's mean is the baseline, its deviation the unit.

        A[n] = (r[n] - mean_g) / (std_g + eps),  r[n] = sum_k w_k r_k[n]
        loss = mean over responses of the mean over tokens of the clipped surrogate

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    Source: arXiv:2402.03300. A KL penalty, in the paper 0.04, comes from the engine's ``beta``.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=SequenceMean()),
    )


@register(
    Card(
        title="Understanding R1-Zero-Like Training: A Critical Perspective",
        arxiv="2503.20783",
        formula="A = r - mean_group(r), loss summed over tokens / a constant length",
        code="huggingface/trl@f2cd577 (loss_type dr_grpo, scale_rewards none)",
        parity="relation: RLOO times (G - 1) / G; loss against TRL 1.16's formula",
    )
)
def dr_grpo(*, weights: Weights = (), max_length: int = 3000, clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """Dr. GRPO: no division by the group's deviation, none by the response's length.

        A[n] = r[n] - mean_g,      loss = sum over tokens / (responses * max_length)

    Args:
        weights: reward weights by name; 1 where not named.
        max_length: the constant in the denominator, the longest response allowed (paper: 3000).
        clip: bound on the ratio, both ways.
        numerics: "verl" adds its dual clip of 3. The reduction is the paper's, and TRL's, in both:
            verl itself divides by the padded width and not by the number of responses.

    Source: arXiv:2503.20783.
    """
    return Method(
        Chain((Weigh(weights), Sum(), Centre())),
        PolicyObjective(surrogate=Clip(clip, clip, constants(numerics).dual_clip), reduce=FixedLength(max_length)),
    )


@register(
    Card(
        title="Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
        arxiv="2402.14740",
        formula="A = r - mean(r of the others in the group)",
        code="verl-project/verl@b178a3c, huggingface/trl@f2cd577",
        parity="slow loop over the others; relation to Dr. GRPO",
    )
)
def rloo(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "verl") -> Method:
    """REINFORCE Leave-One-Out: the other rollouts of the group are the baseline.

        A[n] = r[n] - mean(r[m] : m in group(n), m != n)

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "verl" (token ratios, token mean, dual clip 3) or "trl" (one ratio a response, the
            product over its tokens; mean over responses).

    Source: arXiv:2402.14740. TRL also takes a KL penalty out of the reward; here it stands in the
    loss (the engine's ``beta``).
    """
    signal = Chain((Weigh(weights), Sum(), LeaveOneOut()))
    surrogate = Clip(clip, clip, constants(numerics).dual_clip)
    if numerics == "trl":
        return Method(signal, PolicyObjective(WholeSequenceRatio(), surrogate, SequenceMean()))
    return Method(signal, PolicyObjective(TokenRatio(), surrogate, TokenMean()))


@register(
    Card(
        title="Part I: Tricks or Traps? A Deep Dive into RL for LLM Reasoning",
        arxiv="2508.08221",
        formula="A = (r - mean_group(r)) / (std_batch(r) + eps)",
        code="huggingface/trl@f2cd577 (scale_rewards batch, loss_type dapo)",
        parity="TRL 1.16",
    )
)
def lite_ppo(*, weights: Weights = (), clip: float = 0.2, numerics: Numerics = "trl") -> Method:
    """Lite PPO: the group's mean is the baseline, the batch's deviation the unit, tokens count alike.

        A[n] = (r[n] - mean_g) / (std_batch(r) + eps)

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        numerics: "trl" (eps 1e-4) or "verl" (eps 1e-6, dual clip 3).

    Source: arXiv:2508.08221. The deviation is that of the raw rewards, as in TRL; the paper may mean
    the centred ones.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupCentreBatchScale(n.eps))),
        PolicyObjective(surrogate=Clip(clip, clip, n.dual_clip), reduce=TokenMean()),
    )


@register(
    Card(
        title="DAPO: An Open-Source LLM Reinforcement Learning System at Scale",
        arxiv="2503.14476",
        formula="A = (r - mean_group(r)) / (std_group(r) + eps), uniform groups dropped and refilled",
        code="verl-project/verl@b178a3c (docs/algo/dapo.md, workers/reward_manager/dapo.py)",
        parity="slow loop from the paper; penalty at its corner points",
    )
)
def dapo(
    *,
    weights: Weights = (),
    clip_low: float = 0.2,
    clip_high: float = 0.28,
    max_length: int = 20480,
    buffer: int = 4096,
    metric: str | None = None,
    numerics: Numerics = "verl",
) -> Method:
    """DAPO: clip-higher, token mean, dynamic sampling, overlong penalty.

        drop a group whose metric does not vary (the engine draws another: ``Outcome.empty_groups``)
        r[n] -= clamp((length[n] - (max_length - buffer)) / buffer, 0, 1)
        A[n] = (r[n] - mean_g) / (std_g + eps)
        loss = sum over tokens / tokens, clipped to [1 - clip_low, 1 + clip_high]

    Args:
        weights: reward weights by name; 1 where not named.
        clip_low, clip_high: bounds on the ratio.
        max_length, buffer: response tokens at which the penalty is whole, and over how many it grows.
        metric: the reward whose variation counts; None = a group stays if any of its rewards varies.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    Dropped groups leave the denominators: they were never part of the batch.
    Source: arXiv:2503.14476.
    """
    n = constants(numerics)
    return Method(
        Chain(
            (
                DropUniformGroups(metric),
                Weigh(weights),
                Sum(),
                OverlongPenalty(max_length, buffer),
                GroupNormalize(n.eps),
            )
        ),
        PolicyObjective(surrogate=Clip(clip_low, clip_high, n.dual_clip), reduce=TokenMean()),
        count_dropped=False,
    )


@register(
    Card(
        title="Group Sequence Policy Optimization",
        arxiv="2507.18071",
        formula="GRPO's A; one ratio a response, exp(mean_t(logp - old_logp))",
        code="verl-project/verl@b178a3c, huggingface/trl@f2cd577 (importance_sampling_level sequence)",
        parity="slow loop; on policy its gradient is GRPO's",
    )
)
def gspo(
    *,
    weights: Weights = (),
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    numerics: Numerics = "verl",
) -> Method:
    """Group Sequence Policy Optimization: the ratio is the response's, not the token's.

        s[n] = exp(sum_t (logp - old_logp) / length[n]),   loss = mean over responses of clip(s[n], A[n])

    Args:
        weights: reward weights by name; 1 where not named.
        clip_low, clip_high: bounds on the ratio, much tighter than for tokens.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4). Neither has a dual clip here.

    Source: arXiv:2507.18071.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(SequenceRatio(), Clip(clip_low, clip_high), SequenceMean()),
    )


@register(
    Card(
        title="Group Sequence Policy Optimization",
        arxiv="2507.18071",
        formula="GRPO's A; a response's ratio in value, sg(s) * exp(logp - sg(logp)) for each token",
        code="verl-project/verl@v0.9.1 (compute_policy_loss_gspo), huggingface/trl@f2cd577 (experimental/gspo_token)",
        parity="verl 0.9.1: loss and gradient to 1e-6",
        kind="loss",
    )
)
def gspo_token(
    *,
    weights: Weights = (),
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    numerics: Numerics = "verl",
) -> Method:
    """GSPO-token: GSPO whose tokens may have advantages of their own.

        s[n, t] = sg(s[n]) * exp(logp - sg(logp)),   s[n] = exp(sum_t (logp - old_logp) / length[n]),   sg = no gradient
        loss    = mean over responses of mean over tokens of clip(s[n, t], A[n, t])

    With one advantage a response it is :func:`gspo`, in value and gradient; a chain that tells tokens apart is what
    it is for.

    Args:
        weights: reward weights by name; 1 where not named.
        clip_low, clip_high: bounds on the ratio, much tighter than for tokens.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4).

    A unanimous group gives exactly 0. verl calls this form "gspo" and clamps log s at 10; here it is clamped at 20.
    Source: arXiv:2507.18071.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(SequenceTokenRatio(), Clip(clip_low, clip_high), SequenceMean()),
    )

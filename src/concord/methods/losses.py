"""Methods whose loss is not PPO's clip, rollout by rollout."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import (
    Clip,
    EntropyHybridClip,
    HybridClip,
    PolicyObjective,
    RatioRegression,
    SequenceMean,
    TokenMean,
    WholeSequenceRatio,
)
from concord.stages import BoundedTarget, GroupNormalize, LeaveOneOut, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="Bounded Ratio Reinforcement Learning",
        arxiv="2604.18578",
        formula="GRPO's A; loss = |ratio - target| |A|, target = 1 - low + (low + high) sigmoid((A - median) / T)",
        code="bounded-ratio-rl/bounded_ratio_rl@64ff1cd",
        parity="authors' advantages, targets, loss and gradient, to 2e-6; slow loop",
        kind="loss",
    )
)
def gbpo(*, weights: Weights = (), low: float = 0.3, high: float = 0.3, temperature: float = 1e-4) -> Method:
    """Group-relative Bounded Policy Optimization: the ratio is drawn to a target, which the group's median decides.

        A[n] = (r[n] - mean_g) / (std_g + 1e-6),  r[n] = sum_k w_k r_k[n]
        target[n] = 1 - low + (low + high) * sigmoid((A[n] - median_g(A)) / temperature)
        loss = sum over tokens of |ratio - target[n]| * |A[n]| / tokens

    With a low temperature and a reward of two values: where the minority is correct, it is drawn to ``1 + high``, and
    the majority, being the median, to the middle of the range, 1 for ``low = high``. Where the majority is correct the
    wrong ones are drawn to ``1 - low``, and nothing is pushed up.

    Args:
        weights: reward weights by name; 1 where not named.
        low, high: the range of the target below and above 1. The authors' scripts: 0.3.
        temperature: in deviations of the group. The authors' scripts: 1e-4; their configuration's default: 1.

    A group of one, or whose rewards are all equal, has advantage 0 and no loss; the authors' code takes the raw reward
    of a group of one. Their docstring divides by the temperature only; their code by the group's deviation too, as
    here. Source: arXiv:2604.18578. BPO itself has a critic and is not here.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(1e-6), BoundedTarget(low, high, temperature))),
        PolicyObjective(surrogate=RatioRegression(), reduce=TokenMean()),
    )


@register(
    Card(
        title="Orchestrating Tokens and Sequences: Dynamic Hybrid Policy Optimization for RLVR",
        arxiv="2601.05607",
        formula="GRPO's A; loss = w clip(token ratio) + (1 - w) clip(sequence ratio), each in its own range",
        certainty="low",
        parity="relations: w = 1 is GRPO, w = 0 is GSPO, in value and gradient",
        kind="loss",
    )
)
def dhpo(
    *,
    weights: Weights = (),
    weight: float = 0.5,
    clip: float = 0.2,
    sequence_low: float = 3e-4,
    sequence_high: float = 4e-4,
    numerics: Numerics = "verl",
) -> Method:
    """Dynamic Hybrid Policy Optimization, the averaged variant: GRPO's and GSPO's ratio, each clipped, then mixed.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        loss = mean over responses of the mean over tokens of
               weight * clipped(ratio[n, t], A[n]) + (1 - weight) * clipped(s[n], A[n])
        s[n] = exp(sum_t (logp - old_logp) / length[n])

    Args:
        weights: reward weights by name; 1 where not named.
        weight: of the token's part; the averaged variant's is a half.
        clip: bound on the token's ratio, both ways.
        sequence_low, sequence_high: bounds on the response's ratio.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4). Neither has a dual clip here.

    Assumed: that each part takes its own pessimistic minimum, so an outlier in one does not silence the other; the
    bounds, GRPO's and GSPO's; the mean over responses. The variant whose weight follows the token's entropy is
    ``dhpo_entropy``. Source: arXiv:2601.05607.
    """
    surrogate = HybridClip(Clip(clip, clip), Clip(sequence_low, sequence_high), weight)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(surrogate=surrogate, reduce=SequenceMean()),
    )


@register(
    Card(
        title="Orchestrating Tokens and Sequences: Dynamic Hybrid Policy Optimization for RLVR",
        arxiv="2601.05607",
        formula="GRPO's A; loss = w[t] clip(token ratio) + (1 - w[t]) clip(sequence ratio), w[t] = H[t] / max_t H[t]",
        certainty="low",
        parity="relations: equal entropies are GRPO, none is GSPO, in value and gradient; slow loop",
        kind="loss",
    )
)
def dhpo_entropy(
    *,
    weights: Weights = (),
    clip: float = 0.2,
    sequence_low: float = 3e-4,
    sequence_high: float = 4e-4,
    numerics: Numerics = "verl",
) -> Method:
    """Dynamic Hybrid Policy Optimization, the entropy-guided variant: its own ratio where a token is undecided.

        A[n] = (r[n] - mean_g) / (std_g + eps)
        loss = mean over responses of the mean over tokens of
               w[n, t] * clipped(ratio[n, t], A[n]) + (1 - w[n, t]) * clipped(s[n], A[n])
        w[n, t] = H[n, t] / max_t(H[n, t]),  H the policy's entropy at the token, without gradient
        s[n] = exp(sum_t (logp - old_logp) / length[n])

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the token's ratio, both ways.
        sequence_low, sequence_high: bounds on the response's ratio.
        numerics: "verl" (eps 1e-6) or "trl" (eps 1e-4). Neither has a dual clip here.

    A response without entropy at any token has ``w = 0``, GSPO's loss; one with the same at all has ``w = 1``, GRPO's.

    Assumed: the function ``w``. The sources at hand say that it is of the token's entropy, without gradient, and that
    each ratio is clipped before they are mixed; not which function. This one has no scale and no parameter. What
    ``dhpo`` assumes is assumed here too. Concord's trainer for TRL and the plain loop measure the entropy. Source:
    descriptions of arXiv:2601.05607; nothing claims parity.
    """
    surrogate = EntropyHybridClip(Clip(clip, clip), Clip(sequence_low, sequence_high))
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(constants(numerics).eps))),
        PolicyObjective(surrogate=surrogate, reduce=SequenceMean()),
    )


@register(
    Card(
        title="Pairwise Proximal Policy Optimization: Harnessing Relative Feedback for LLM Alignment",
        arxiv="2310.00212",
        formula="A = mean over the others of (r - r_other); one ratio a response, their product over tokens, clipped",
        certainty="low",
        parity="relation: RLOO in TRL's form; the policy gradient of a bandit, enumerated",
        kind="loss",
    )
)
def p3o(*, weights: Weights = (), clip: float = 0.2) -> Method:
    """Pairwise PPO, clipped separately (V1): each pair of responses pushes its better one up and its worse one down.

        pair loss = -(r1 - r2) / 2 * (rho1 - rho2),   rho = exp(sum_t (logp - old_logp)), each clipped in its own term
        over all pairs of a group:  A[n] = mean(r[n] - r[m] : m in group(n), m != n)
        loss = mean over responses of the clipped surrogate of rho[n] and A[n]

    A number added to all rewards of a prompt changes nothing. On policy this is the policy gradient. Over pairs of all
    sizes of group it is RLOO with a ratio a response: ``rloo(numerics="trl")`` is the same method.

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the response's ratio, both ways.

    Assumed: the clip's form and its bound. The paper's second form (V2, the pair's ratios clipped together) is
    ``p3o_joint``. The paper's KL term comes from the engine's ``beta``, in the loss. Source: arXiv:2310.00212.
    """
    return Method(
        Chain((Weigh(weights), Sum(), LeaveOneOut())),
        PolicyObjective(WholeSequenceRatio(), Clip(clip, clip), SequenceMean()),
    )

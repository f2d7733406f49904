"""Methods whose loss looks at a whole group at once."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.objectives import ContrastivePairs, GroupClassification, JointPairClip
from concord.stages import Centre, GroupNormalize, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="Rewards as Labels: Revisiting RLVR from a Classification Perspective",
        arxiv="2602.05630",
        formula="s = mean_t(log ratio); loss = log(1 + sum_good e^(-s/tau)) + log(1 + sum_bad e^(s/tau)) a group",
        code="modelscope/ms-swift@3602360 (loss_type real); the authors' repository was not read",
        parity="ms-swift's loss and gradient, to 1e-6, on rewards of two values; slow loop",
        kind="loss",
    )
)
def real(*, weights: Weights = (), tau: float = 0.5) -> Method:
    """Rewards as Labels: what beats its group's mean is to become likelier, what does not less likely.

        label[n] = sign((r[n] - mean_g) / (std_g + 1e-6))
        s[n] = sum_t (logp - old_logp) / length[n]
        loss = mean over groups of log(1 + sum_{label > 0} exp(-s / tau)) + log(1 + sum_{label < 0} exp(s / tau))

    No clip, and no size of advantage: a response's weight in the gradient is at most ``1 / tau`` and fades as it moves
    the way its label points. Groups with one label have loss 0, and stay in the mean.

    Args:
        weights: reward weights by name; 1 where not named.
        tau: the temperature of the scores; ms-swift's default.

    A response at its group's mean has no label; ms-swift counts it as bad, which differs only where rewards have more
    than two values. Where groups differ in size each weighs by its number of responses. An engine must hand over whole
    groups. Source: arXiv:2602.05630.
    """
    return Method(Chain((Weigh(weights), Sum(), GroupNormalize(1e-6))), GroupClassification(tau))


@register(
    Card(
        title="Contrastive Policy Gradient: Aligning LLMs on sequence-level scores in a supervised-friendly fashion",
        arxiv="2406.19185",
        formula="x = A - beta log(policy / ref); loss = sum of (x_i - x_j)^2 over pairs; A = r - mean_group(r)",
        certainty="low",
        parity="relations: RLOO's gradient with the KL in the reward; a bandit trained off policy finds the optimum",
        kind="loss",
    )
)
def copg(*, weights: Weights = (), beta: float = 0.1) -> Method:
    """Contrastive Policy Gradient: the log-probabilities of two responses should differ as their rewards do.

        A[n] = r[n] - mean_g
        x[n] = A[n] - beta * sum_t (logp - ref_logp)
        loss = sum over groups of sum_{i < j} (x[i] - x[j])^2 / (2 * beta * (G - 1)),  over the responses of the step

    No importance weight stands in it, so the responses may come from any policy. Only the policy proportional to
    ``ref * exp(r / beta)`` has loss 0.

    Args:
        weights: reward weights by name; 1 where not named.
        beta: reward a nat of distance from the reference. The paper sweeps it; 0.1 is a choice of ours. With TRL it
            is the trainer's own ``beta``.

    The paper's loss is a mean over pairs, of which this is a constant factor: a half for G = 2.
    Groups of one have no loss. A group whose rewards are all equal is still drawn to the reference. An engine must
    hand over whole groups. Source: descriptions of arXiv:2406.19185, whose optimum is verified on a bandit; no code was
    found.
    """
    return Method(Chain((Weigh(weights), Sum(), Centre())), ContrastivePairs(beta))


@register(
    Card(
        title="Pairwise Proximal Policy Optimization: Harnessing Relative Feedback for LLM Alignment",
        arxiv="2310.00212",
        formula="pair loss = -sg(rho_i rho_j) d min(log(rho_i / rho_j), log(1 + clip)), d = (r_i - r_j) / 2 >= 0",
        certainty="low",
        parity="relations: p3o's gradient on policy; a bandit's policy gradient off policy, enumerated; slow loop",
        kind="loss",
    )
)
def p3o_joint(*, weights: Weights = (), clip: float = 0.2) -> Method:
    """Pairwise PPO, clipped jointly (V2): a pair is pushed until the better's ratio is 1 + clip times the other's.

        rho = exp(sum_t (logp - old_logp)),   d = (r[i] - r[j]) / 2 >= 0
        pair loss = -sg(rho[i] * rho[j]) * d * min(log(rho[i] / rho[j]), log(1 + clip)),   sg = no gradient
        loss = mean over responses of the mean over their pairs

    A number added to all rewards of a prompt changes nothing. On policy the loss is 0 and its gradient that of ``p3o``;
    off policy it differs: here the clip looks at the pair, there at each response, and both ratios weigh the pair.

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio of the two ratios, above 1.

    The clip is of the better response over the worse, so it does not matter in which order a pair is written down.
    Groups of one, and groups whose rewards are all equal, have loss 0. An engine must hand over whole groups.

    Assumed: this expression, and p3o's bound. The sources at hand say that the two are clipped together, not how; and
    that importance weights are clipped too, which ``rho[i] * rho[j]`` is not. The paper's KL term comes from the
    engine's ``beta``, in the loss. Source: arXiv:2310.00212.
    """
    return Method(Chain((Weigh(weights), Sum(), Centre())), JointPairClip(clip))

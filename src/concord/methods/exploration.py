"""Methods whose loss keeps a policy from closing in on a few responses."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.methods.numerics import Numerics, constants
from concord.objectives import (
    Clip,
    EntropyBonus,
    ForwardKl,
    PolicyObjective,
    RandomPolicyValue,
    SequenceMean,
    TokenMean,
)
from concord.stages import Carry, Centre, GroupNormalize, Sum, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="Random Policy Valuation is Enough for LLM Reasoning with Verifiable Rewards",
        arxiv="2509.24981",
        formula="A = r - mean_group(r); loss = (Q[t] - sg(A + V[t + 1]))^2, Q = log(policy / old), V its mean over the "
        "vocabulary",
        code="tinnerhrhe/ROVER@b0fa587",
        parity="authors' advantages, loss and gradient, to 1e-6; slow loop",
        kind="loss",
    )
)
def rover(*, weights: Weights = (), rho: float = 1.0, bootstrap: float = 1.0) -> Method:
    """Random Policy Valuation: the policy's log ratio is the value function of the policy that draws tokens uniformly.

        A[n] = r[n] - mean_g,  r[n] = sum_k w_k r_k[n]
        Q[n, t] = rho * (logp - old_logp),  V[n, t] = rho * (mean_logp - old_mean_logp), the mean over the vocabulary
        loss = sum over tokens of (Q[n, t] - sg(A[n] + bootstrap * V[n, t + 1]))^2 / tokens,  sg = no gradient

    No clip, no reference model and no critic. V is 0 after a response's last token. On policy the gradient is
    ``2 * rho`` times REINFORCE's.

    Args:
        weights: reward weights by name; 1 where not named.
        rho: reward a nat of the log ratio. The authors': 1.
        bootstrap: weight of the next token's value. The authors': 1; with 0 the advantage is the target.

    Column ``old_mean_logp``, ``[N, T]``, is the mean over the vocabulary of the log-probabilities of the policy that
    sampled; that of the policy in training is measured too, by Concord's trainer for TRL and by the plain loop. Where a
    group's rewards are all equal its rollouts have advantage 0 and, once the policy has moved, a gradient still.

    The advantage is the paper's, as in the authors' Countdown code. Their Math script divides by the group's deviation
    too: for rewards 0 and 1 and G = 8 targets 1.9 to 2.8 times as far. A group of one has advantage 0; theirs takes the
    raw reward. Their loss is a mean over each micro-batch's tokens, here over the step's. Not here: their clip of Q and
    their loss a response, both off in the scripts. Source: arXiv:2509.24981.
    """
    return Method(
        Chain((Weigh(weights), Sum(), Centre(), Carry(("old_mean_logp",)))),
        PolicyObjective(surrogate=RandomPolicyValue(rho, bootstrap), reduce=TokenMean()),
    )


@register(
    Card(
        title="Unlocking Reasoning Capabilities in LLMs via Reinforcement Learning Exploration",
        arxiv="2510.03865",
        formula="GRPO's A and clip; loss + beta (u log u - u + 1) - entropy H(policy), u = ref / policy",
        certainty="low",
        parity="relations: GRPO without its penalties; each penalty is its divergence or entropy, enumerated",
        kind="loss",
    )
)
def rapo(
    *,
    weights: Weights = (),
    clip: float = 0.2,
    beta: float = 0.01,
    entropy: float = 0.001,
    numerics: Numerics = "verl",
) -> Method:
    """Rewards-Aware Policy Optimization, its reference left as it is: GRPO with a forward KL and an entropy bonus.

        A[n] = (r[n] - mean_g) / (std_g + eps),  r[n] = sum_k w_k r_k[n]
        loss = mean over responses of the mean over tokens of
               clipped(ratio, A[n]) + beta * (u log(u) - u + 1) + entropy * ratio * logp,   u = exp(ref_logp - logp)

    The second term is an estimate of KL(reference || policy), which grows where the policy gives up what the reference
    does, and not where it finds something new; the third of minus the policy's entropy.

    Args:
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways.
        beta: coefficient of the forward KL, the paper's alpha; 0.01 is a choice of ours. With TRL it is the trainer's
            own ``beta``.
        entropy: coefficient of the entropy, the paper's beta; 0.001 is a choice of ours.
        numerics: "verl" (eps 1e-6, dual clip 3) or "trl" (eps 1e-4).

    A group whose rewards are all equal has advantage 0, is still drawn to the reference, and its entropy raised.

    The paper tempers the reference first, to ``ref^phi(r) / Z``: phi rises with the reward into [0, 1], so that where
    rewards are low the reference says less. Neither phi nor Z is in the sources at hand, so here phi is 1: the
    reference is as it is. The paper's coefficients are not there either; 0.01 and 0.001 are a choice of ours, as is
    the mean over responses. Nothing claims parity. Source: descriptions of arXiv:2510.03865.
    """
    n = constants(numerics)
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(n.eps))),
        PolicyObjective(
            surrogate=Clip(clip, clip, n.dual_clip),
            reduce=SequenceMean(),
            penalties=(ForwardKl(beta), EntropyBonus(entropy)),
        ),
    )

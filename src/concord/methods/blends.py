"""Methods that add a second pull to the group's advantage."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.methods.method import Method
from concord.objectives import BlendedClip, Clip, PolicyObjective, SequenceMean, TokenMean
from concord.stages import BlendByConsistency, GroupNormalize, Sum, TemperedTarget, Weigh
from concord.stages.combine import Weights


@register(
    Card(
        title="COPO: Consistency-Aware Policy Optimization",
        arxiv="2508.04138",
        formula="A = w local + (1 - w) global, local GRPO's, global = (mean_group(r) - its mean) / its std over the "
        "batch, w = sigmoid(5 (H - 1)) of the answers' entropy H, 0 where r = 0; the two clipped apart",
        code="hijih/copo-code@095afa5",
        parity="authors' numbers: advantages, weights and loss to 1e-5",
    )
)
def copo(*, gamma: float = 5.0, rho: float = 1.0, weights: Weights = (), clip: float = 0.2) -> Method:
    """COPO: where a group's answers agree, compare the group with the other groups of the batch.

        local[n] = (r[n] - mean_g) / (std_g + eps)
        global_g = (R_g - mean R) / (std R + eps),   R_g = mean_g(r)
        w[n] = sigmoid(gamma (H_g - rho)),   0 where r[n] = 0;   H_g = entropy of the group's answers in bits
        loss = mean over responses and their tokens of w clip(local) + (1 - w) clip(global)

    A group whose rollouts all give one answer has w = sigmoid(-5) = 0.007, so it is pushed nearly as one, and a group
    where all are right or all are wrong still learns. The chain's advantage is w local + (1 - w) global, whose clipped
    loss this is where the two have one sign.

    Args:
        gamma: how fast w changes with the entropy.
        rho: the entropy, in bits, at which w is 1/2.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways; dual clip 3.

    Column ``answers`` says which rollouts gave the same answer (:func:`concord.functional.answers.answer_ids`); with
    TRL a function of yours reads it off the completions (``columns``). The
    authors compare strings as they stand. As in their code a wrong rollout, of reward exactly 0, never has the local
    push; so rewards must be 0 for wrong. Not here: their mode in which R_g is multiplied by 1 - lambda H_g, off in the
    script. Where all R_g are equal there is no global push (theirs divides rounding errors by 1e-6).
    Source: arXiv:2508.04138 through the authors' code; the paper's formula was not read.
    """
    return Method(
        Chain((Weigh(weights), Sum(), BlendByConsistency(gamma, rho))),
        PolicyObjective(surrogate=BlendedClip(Clip(clip, clip, 3.0)), reduce=SequenceMean()),
    )


@register(
    Card(
        title="Distribution-Centric Policy Optimization Dominates Exploration-Exploitation Trade-off",
        arxiv="2601.12730",
        formula="A[t] = (1 - a) A_GRPO + a [r > 0.05] exp(logp_T[t] - logp[t]), a = d / (d + share correct), "
        "d = min(|0.5 - H|, 0.1), T = 1.2 if H <= 0.5 else 0.8; neither of the other methods called DCPO",
        code="597358816/DCPO@33f8073",
        parity="authors' numbers, given the entropy, to 3e-5",
    )
)
def dcpo(
    *,
    target: float = 0.5,
    cap: float = 0.1,
    hot: float = 1.2,
    cold: float = 0.8,
    correct: str | None = None,
    threshold: float = 0.05,
    weights: Weights = (),
    clip: float = 0.2,
) -> Method:
    """DCPO, the distribution-centric: correct responses are pulled towards the policy at another temperature.

        A[n, t] = (1 - a) A_GRPO[n] + a * correct[n] * exp(logp_T[n, t] - logp[n, t])
        a = d / (d + share of correct rollouts),   d = min(|target - H|, cap)
        T = hot while H <= target, else cold;      H the entropy of the step before

    :class:`concord.stages.TemperedTarget` has the details. Columns ``old_logp`` and ``tempered_logp``, ``[N, T]``, are
    the policy's log-probabilities at the run's temperature and at T times it, which ``TemperedTarget.temperature`` says
    for the chain's state; Concord's trainer for TRL and the plain loop measure both.

    Args:
        target: H0, in nats. The script has 0.5, the best row of the authors' table 0.25.
        cap: the largest d.
        hot, cold: T.
        correct: the reward that says what is correct; None = the sum of all.
        threshold: a score above it is correct.
        weights: reward weights by name; 1 where not named.
        clip: bound on the ratio, both ways; dual clip 3.

    The name is taken three times. This is not Dynamic Clipping Policy Optimization, which changes the clip's bounds,
    and not the DCPO of ChatShopBuddy (arXiv:2603.06065), which chooses among rollouts.
    Source: arXiv:2601.12730, as in the authors' code.
    """
    return Method(
        Chain((Weigh(weights), Sum(), GroupNormalize(), TemperedTarget(target, cap, hot, cold, correct, threshold))),
        PolicyObjective(surrogate=Clip(clip, clip, 3.0), reduce=TokenMean()),
    )

"""Rewards for tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor

from concord.core.catalogue import Card, register
from concord.functional.token_reward import rto_reward


@register(
    Card(
        title="DPO Meets PPO: Reinforced Token Optimization for RLHF",
        arxiv="2404.18922",
        formula="r[t] = clamp(scale (logp_dpo - logp_ref)[t], +-bound) - kl (logp - logp_ref)[t] + (t last) reward",
        code="zkshan2002/RTO@f2c1294",
        parity="authors' numbers",
        kind="reward",
        needs=("log-probabilities of every token under a DPO policy, its reference and the policy in training",),
    )
)
def rto(*, scale: float = 0.05, bound: float | None = 0.05, kl: float = 0.01) -> Callable[..., Tensor]:
    """Reinforced Token Optimization: a DPO policy says which tokens earned the reward.

        r[t] = clamp(scale * (logp_dpo[t] - logp_ref[t]), -bound, bound) - kl * (logp[t] - logp_ref[t])
               + (t is the last token) * clamp(reward, -10, 10)

    Args:
        scale: of the log-ratio (authors' script: 0.05).
        bound: on the scaled log-ratio; None = none (authors' script: 0.05).
        kl: coefficient of the KL penalty (authors: 0.01 at the start).

    Returns :func:`concord.functional.token_reward.rto_reward` with these, of ``(rewards, logp, dpo_logp, ref_logp,
    mask)`` to ``[N, T]``. The paper trains with PPO and a critic: :func:`concord.functional.gae.gae` takes these
    rewards.
    Source: arXiv:2404.18922, as in the authors' code; the paper has a coefficient for each of the three.
    """
    return partial(rto_reward, scale=scale, bound=bound, kl=kl)

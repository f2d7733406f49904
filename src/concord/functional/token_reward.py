"""A reward for every token, out of a policy that was trained by DPO.

The log-ratio of a DPO policy to its reference, summed over a response, is the response's implicit reward; its terms say
which tokens earned it. Source: RTO, arXiv:2404.18922, as in the authors' code.
"""

from __future__ import annotations

import torch
from torch import Tensor

from concord.core.errors import BatchError, ConfigError
from concord.functional.gae import at_last_token

TERMINAL_BOUND = 10.0
"""The response's own reward is clamped to this on both sides, as in the authors' code."""


def dpo_token_reward(
    dpo_logp: Tensor, ref_logp: Tensor, mask: Tensor, *, scale: float = 0.05, bound: float | None = 0.05
) -> Tensor:
    """``clamp(scale * (dpo_logp - ref_logp), -bound, bound)``, 0 off the mask.

    Unbounded, its sum over a response is ``scale`` times the log-ratio of the response: DPO's implicit reward with
    ``scale`` in the place of beta.

    Args:
        dpo_logp, ref_logp: ``[N, T]`` log-probabilities (nats) under the DPO policy and its reference.
        mask: ``[N, T]`` bool, the tokens of the response.
        scale: beta; the authors' launch script has 0.05, its configuration's default is 1.
        bound: None = none (in the authors' code 0). Their script has 0.05.

    Raises: ConfigError unless scale > 0 and bound > 0; BatchError for shapes that differ.

    Example:
        >>> dpo, ref = torch.tensor([[-1.0, -2.0]]), torch.tensor([[-1.4, -1.0]])
        >>> dpo_token_reward(dpo, ref, torch.ones(1, 2).bool()).round(decimals=4)
        tensor([[ 0.0200, -0.0500]])
    """
    if scale <= 0 or (bound is not None and bound <= 0):
        raise ConfigError(f"scale and bound must be positive, got {scale} and {bound}; bound=None is for none")
    _check(mask, dpo_logp=dpo_logp, ref_logp=ref_logp)
    reward = torch.where(mask, scale * (dpo_logp - ref_logp), 0)
    return reward if bound is None else reward.clamp(-bound, bound)


def rto_reward(
    rewards: Tensor,
    logp: Tensor,
    dpo_logp: Tensor,
    ref_logp: Tensor,
    mask: Tensor,
    *,
    scale: float = 0.05,
    bound: float | None = 0.05,
    kl: float = 0.01,
) -> Tensor:
    """The reward of every token for PPO with a critic.

        r[t] = clamp(scale * (dpo_logp[t] - ref_logp[t]), -bound, bound) - kl * (logp[t] - ref_logp[t])
               + (t is the response's last token) * clamp(reward, -10, 10)

    Args:
        rewards: ``[N]`` of the responses; NaN or infinite = not scored, and adds nothing.
        logp: ``[N, T]`` under the policy that sampled.
        dpo_logp, ref_logp, mask, scale, bound: as for :func:`dpo_token_reward`.
        kl: coefficient of the KL penalty (authors: 0.01 at the start, adapted later).

    Returns ``[N, T]``, 0 off the mask. A response without a token has no reward; the authors' code gives its reward to
    the padding's last position.

    Raises: as :func:`dpo_token_reward`; ConfigError for a negative kl.
    """
    if kl < 0:
        raise ConfigError(f"kl must not be negative, got {kl}")
    if rewards.shape != mask.shape[:1]:
        raise BatchError(f"rewards must be [{mask.shape[0]}], one a response, got {tuple(rewards.shape)}")
    _check(mask, logp=logp)
    token = dpo_token_reward(dpo_logp, ref_logp, mask, scale=scale, bound=bound)
    penalty = torch.where(mask, kl * (logp - ref_logp), 0)
    terminal = torch.where(rewards.isfinite(), rewards, 0).clamp(-TERMINAL_BOUND, TERMINAL_BOUND)
    return token - penalty + at_last_token(terminal, mask)


def _check(mask: Tensor, **logps: Tensor) -> None:
    if mask.ndim != 2 or mask.dtype != torch.bool:
        raise BatchError(f"mask must be bool [responses, tokens], got {mask.dtype} {tuple(mask.shape)}")
    for name, logp in logps.items():
        if logp.shape != mask.shape:
            raise BatchError(f"{name} must be {tuple(mask.shape)} like the mask, got {tuple(logp.shape)}")

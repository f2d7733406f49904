"""The policy loss of a method, in verl's workers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from concord.methods import create
from concord.objectives import PolicyBatch, Totals

MODE = "concord"
"""``actor.policy_loss.loss_mode``."""

TARGET = "concord.engines.verl.loss.config"
"""``actor.policy_loss._target_``: what hydra calls in each worker."""


def config(method: str, args: Mapping[str, Any] | None = None, **options: Any) -> Any:
    """verl's ``PolicyLossConfig``, and with it the objective of a method.

    Args:
        method, args: as in ``concord.create(method, **args)``.
        options: verl's own, of its other losses.
    """
    from verl.workers.config import PolicyLossConfig

    made = PolicyLossConfig(**options)
    made.objective = create(method, **dict(args or {})).objective
    return made


def policy_loss(
    old_log_prob: Tensor,
    log_prob: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """The method's objective in the signature of verl's ``register_policy_loss``.

    The denominators are the tokens and rows of the whole mini-batch, over micro-batches and workers, as verl counts
    them; FSDP and Megatron average gradients over data-parallel workers, so the loss is multiplied by their number.

    Args:
        loss_agg_mode: not read, the method has its own reduction; :mod:`concord.engines.verl.check` refuses others.
        config: verl's actor configuration, with what :func:`config` made in ``policy_loss``.

    Metrics: ``actor/concord/clipped``, ``actor/concord/ratio`` and ``actor/concord/ratio_variance``, means over the
    micro-batch's tokens.
    """
    mask = response_mask.bool()
    batch = PolicyBatch(log_prob, old_log_prob, advantages, mask, weights=rollout_is_weights)
    info = config.global_batch_info
    own = Totals.of(mask)
    tokens, sequences = info.get("batch_num_tokens"), info.get("global_batch_size")
    totals = Totals(own.tokens if tokens is None else tokens, own.sequences if sequences is None else sequences)
    loss, means = config.policy_loss.objective(batch, totals)
    return loss * (info.get("dp_size") or 1), {
        f"actor/concord/{name}": mean.value().item() for name, mean in means.items()
    }

"""CLIPO: any method, with a reward for what correct rollouts have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from concord.core.catalogue import Card, register
from concord.core.chain import Chain
from concord.core.errors import ConfigError
from concord.learners import Contrastive
from concord.methods.method import Method
from concord.methods.numerics import Numerics
from concord.methods.registry import create
from concord.stages import (
    AddContrastive,
    BatchNormalize,
    Centre,
    ContrastiveChannel,
    DropUniformGroups,
    GroupCentreBatchScale,
    GroupNormalize,
    LeaveOneOut,
    Sum,
    Weigh,
)
from concord.stages.combine import Weights
from concord.stages.contrastive import CHANNEL

_COMPARING = (BatchNormalize, Centre, GroupCentreBatchScale, GroupNormalize, LeaveOneOut)
"""The stages that measure a rollout against others: the bonus stands before them."""

_APART = (DropUniformGroups, Weigh)
"""The stages before a sum that leave rewards in their own units."""


def with_contrastive(
    method: Method, learner: Contrastive | None = None, *, scale: float = 0.2, floor: float = -0.5
) -> Method:
    """A method with CLIPO's bonus among its rewards, and the learner that the bonus comes from.

        bonus[n] = max(-scale * loss[n], floor)      for an anchor

    Where the rewards are summed first (GRPO, DAPO, Dr. GRPO, ...), the bonus is added to the sum, as the authors do.
    Where each reward is normalised by itself (GDPO, GD2PO), it becomes one more, "contrastive", which scores the
    anchors only: among a group's correct rollouts it says which have more in common, and of incorrect ones nothing.
    Normalising takes its size away, so there ``scale`` is the channel's weight too. GD2PO's mask counts it as any
    reward: a correct rollout that is unlike the others is one in conflict.

    Args:
        method: any whose chain has a ``Sum``, and that has no learner yet.
        learner: the parameters of the head; None = CLIPO's defaults.
        scale: lambda.
        floor: the lowest bonus.

    Raises:
        ConfigError: the method has a learner already, or no ``Sum``, or another stage before it than those known here;
            or it normalises the rewards one by one and has no ``Weigh``.

    Example:
        >>> from concord.methods import gdpo, grpo
        >>> with_contrastive(grpo()).signal.names
        ('weigh', 'sum', 'add_contrastive', 'group_normalize')
        >>> with_contrastive(gdpo()).signal.names
        ('contrastive_channel', 'group_normalize', 'weigh', 'sum', 'whiten')
    """
    if method.learner is not None:
        raise ConfigError(f"the method has a learner already, {method.learner}")
    stages = method.signal.stages
    total = next((place for place, stage in enumerate(stages) if isinstance(stage, Sum)), None)
    if total is None:
        raise ConfigError(f"the bonus needs a Sum() in the chain to meet the rewards at; this one is {method.signal}")
    first = next((place for place, stage in enumerate(stages[:total]) if isinstance(stage, _COMPARING)), None)
    before = stages[: total if first is None else first]
    if strange := [stage.name for stage in before if not isinstance(stage, _APART)]:
        raise ConfigError(f"what is the bonus to {strange[0]!r}, which stands before it? Add the bonus by hand")
    if first is None:
        signal = Chain((*stages[: total + 1], AddContrastive(scale, floor), *stages[total + 1 :]))
    else:
        signal = Chain((*stages[:first], ContrastiveChannel(scale, floor), *stages[first:]))
        weigh = next((stage for stage in stages[first:total] if isinstance(stage, Weigh)), None)
        if weigh is None:
            raise ConfigError(
                f"the bonus needs a Weigh() between {stages[first].name!r} and 'sum' to have its weight from"
            )
        signal = signal.replace("weigh", Weigh({CHANNEL: scale} | dict(weigh.weights)))
    return dataclasses.replace(method, signal=signal, learner=learner or Contrastive())


@register(
    Card(
        title="CLIPO: Contrastive Learning in Policy Optimization Generalizes RLVR",
        arxiv="2603.10101",
        formula="GRPO's A of r + max(-lambda * l, floor), l the contrastive loss of a correct rollout in its group",
        code="Qwen-Applications/CLIPO@13c5fd6",
        parity="authors' numbers: losses, gradients and bonus to 1e-5",
    )
)
def clipo(
    *,
    correct: str | None = None,
    threshold: float = 0.0,
    scale: float = 0.2,
    floor: float = -0.5,
    temperature: float = 0.05,
    loss: str = "info_nce",
    level: str = "group",
    log_sum: str = "exact",
    pooling: str = "mean",
    dim: int = 512,
    head: Literal["linear", "mlp"] = "linear",
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    warmup: int = 0,
    base: str = "grpo",
    base_args: Mapping[str, Any] | None = None,
    weights: Weights = (),
    numerics: Numerics = "verl",
) -> Method:
    """CLIPO: correct rollouts are rewarded for what they have in common and incorrect ones lack.

        z = head(h) / |head(h)|,  h the mean of the policy's last hidden states over the response
        l[n] = log sum_{m in group, m != n} exp(z_n z_m / T) - z_n z_j / T,  j another correct one, drawn
        r[n] += max(-lambda * l[n], floor)  where n is correct and its group has another correct and an incorrect one

    The head takes one step a batch, after it has judged it. :func:`with_contrastive` is the same for a method at hand.

    Args:
        correct, threshold: a rollout is correct if this reward is above the threshold; None = the only reward.
        scale, floor: lambda, and the lowest bonus.
        temperature, loss, level, log_sum, pooling, dim, head, lr, weight_decay, warmup: of the head, as in
            :class:`concord.learners.Contrastive`.
        base, base_args: the method that the bonus is added to, and its other parameters.
        weights, numerics: of the base; see there.

    Source: arXiv:2603.10101. Where it differs from the authors' code: the logarithm is exact; ``log_sum="authors"``
    has their 1e-8, which is a floor under the loss at temperature 0.05 (2.06 instead of 1.10 for four orthogonal
    embeddings). The states are those of all response tokens; ``pooling="authors"`` leaves out the last.
    """
    return with_contrastive(
        create(base, weights=weights, numerics=numerics, **(base_args or {})),
        Contrastive(
            correct=correct,
            threshold=threshold,
            dim=dim,
            head=head,
            temperature=temperature,
            loss=loss,
            level=level,
            log_sum=log_sum,
            pooling=pooling,
            lr=lr,
            weight_decay=weight_decay,
            warmup=warmup,
        ),
        scale=scale,
        floor=floor,
    )

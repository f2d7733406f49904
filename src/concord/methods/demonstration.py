"""Losses over demonstrations, of the kind of those over pairs: only the chosen response plays a part."""

from __future__ import annotations

from concord.core.catalogue import Card, register
from concord.objectives import ChiSquared, Hellinger, MeanLogRatio, PreferenceObjective, TotalVariation

_TITLE = "Implicit Reward as the Bridge: A Unified View of SFT and DPO Connections"
_NEEDS = ("demonstrations", "a reference policy")


@register(
    Card(
        title=_TITLE,
        arxiv="2507.00018",
        formula="loss = -r, r = beta * (LP - LP_ref) / length",
        certainty="low",
        parity="relation: the gradient of fine-tuning, per-response token mean",
        kind="preference",
        needs=_NEEDS,
    )
)
def sft_total_variation(*, beta: float = 1.0) -> PreferenceObjective:
    """Fine-tuning as imitation by total variation: ordinary fine-tuning, up to a constant.

        loss = mean over demonstrations of -r,   r = beta * (LP - LP_ref) / length

    Args:
        beta: scale of r.

    Here to compare the others with: the reference moves its value and not its gradient.
    Source: arXiv:2507.00018; see :func:`sft_chi_squared`.
    """
    return PreferenceObjective(MeanLogRatio(), TotalVariation(beta))


@register(
    Card(
        title=_TITLE,
        arxiv="2507.00018",
        formula="loss = r^2/4 - r for r <= 2, else -1; r = beta * (LP - LP_ref) / length",
        certainty="low",
        parity="numeric convex conjugate",
        kind="preference",
        needs=_NEEDS,
    )
)
def sft_chi_squared(*, beta: float = 1.0) -> PreferenceObjective:
    """Fine-tuning as imitation by Pearson's chi-squared divergence, with the KL to the reference kept.

        loss = mean over demonstrations of r^2 / 4 - r up to r = 2, and of -1 beyond
        r = beta * (LP - LP_ref) / length

    Args:
        beta: scale of r: a demonstration has no gradient left from a gain of 2 / beta nats a token on.

    The gradient by r is -(1 - r / 2): that of fine-tuning at the reference, and less the further the policy rises.
    The mean over tokens is our choice: sums would reach r = 2 within a step or two.
    Source: the construction of arXiv:2507.00018; the closed form is derived here, not read in the paper.
    """
    return PreferenceObjective(MeanLogRatio(), ChiSquared(beta))


@register(
    Card(
        title=_TITLE,
        arxiv="2507.00018",
        formula="loss = -r / (1 + r) for r >= -1/2, else -1 - 4 r; r = beta * (LP - LP_ref) / length",
        certainty="low",
        parity="numeric convex conjugate",
        kind="preference",
        needs=_NEEDS,
    )
)
def sft_hellinger(*, beta: float = 1.0) -> PreferenceObjective:
    """Fine-tuning as imitation by the squared Hellinger distance, with the KL to the reference kept.

        loss = mean over demonstrations of -r / (1 + r),   r = beta * (LP - LP_ref) / length

    Args:
        beta: scale of r.

    The gradient by r is -1 / (1 + r)^2; the loss never falls below -1. It is infinite from r = -1 down, so below
    r = -1/2 it goes on along its tangent, -1 - 4 r (ours).
    Source: the construction of arXiv:2507.00018; the closed form is derived here, not read in the paper.
    """
    return PreferenceObjective(MeanLogRatio(), Hellinger(beta))

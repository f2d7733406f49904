"""Clip what the policy sampled itself, and shape what it was helped to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch, Statistic
from concord.objectives.surrogate import Clip, Surrogate


@dataclass(frozen=True)
class MixedPolicy:
    """One surrogate on the policy's own tokens, another on those of revisions.

        loss = -A * x / (x + gamma)       on revised tokens, x = the ratio; -A * x with gamma = 0
        loss = own(ratio, A)              elsewhere

    The column ``revised`` says which: ``[B]`` or ``[B, T]``, other than 0 on what was sampled from a prompt with
    help in it. There ``old_logp`` holds the log-probabilities under which the revision was sampled. As the gradient
    of x / (x + gamma) is gamma x / (x + gamma)^2 times that of log x, likely and unlikely tokens both count less
    than those with x near gamma.

    Attributes:
        gamma: 1 in the authors' runs for following instructions, 0.1 in those on medicine.
        own: the surrogate of the tokens that are not revised; the authors' dual clip by default.

    Raises: ConfigError for a negative gamma; MissingColumn without that column.
    Source: arXiv:2603.20046; sikelifei/HeRL@c527572 (``compute_policy_loss_mixpolicy_vanilla``), to 1e-6. Their weights
    against the sampler's error are on the policy's own tokens only: give revised rows a weight of 1. Where the
    behaviour's log-probabilities are missing they take x = exp(logp); here that is ``old_logp`` = 0.
    """

    gamma: float = 1.0
    own: Surrogate = field(default_factory=lambda: Clip(0.2, 0.2, 3.0))

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise ConfigError(f"gamma must not be negative, got {self.gamma}")

    @property
    def reads(self) -> frozenset[str]:
        """The column ``revised``, and those that ``own`` reads."""
        return frozenset({"revised"}) | getattr(self.own, "reads", frozenset())

    @property
    def statistics(self) -> frozenset[Statistic]:
        """What ``own`` reads of the policy's distribution."""
        return getattr(self.own, "statistics", frozenset())

    @property
    def every_row(self) -> bool:
        """Whether ``own`` acts where the advantage is 0; the loss of revised tokens does not."""
        return getattr(self.own, "every_row", False)

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        """The loss, and where it was clipped: never on revised tokens."""
        own, clipped = self.own(ratio, advantages, batch)
        revised = batch.column("revised") != 0
        revised = revised[:, None] if revised.ndim == 1 else revised
        shaped = -advantages * (ratio / (ratio + self.gamma) if self.gamma else ratio)
        return torch.where(revised, shaped, own), clipped & ~revised

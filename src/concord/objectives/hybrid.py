"""Two clips, one of the token's ratio and one of the response's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch, Statistic
from concord.objectives.ratio import SequenceRatio
from concord.objectives.surrogate import Clip


@dataclass(frozen=True)
class HybridClip:
    """A mixture of the token's and the response's surrogate, each clipped in its own range.

        loss[i, t] = weight * token(ratio[i, t], A) + (1 - weight) * sequence(s[i], A)
        s[i] = exp(mean_t(logp - old_logp))

    Each is clipped before they are mixed, so a token whose ratio ran off does not silence its response's part.
    ``weight=1`` is GRPO's surrogate, ``weight=0`` GSPO's. The ratio handed in must be the token's.

    Metrics: as clipped counts a token where both are.
    Raises: ConfigError unless 0 <= weight <= 1.
    Source: DHPO, arXiv:2601.05607, its averaged variant. That each part takes its own minimum is assumed.
    """

    token: Clip = field(default_factory=Clip)
    sequence: Clip = field(default_factory=lambda: Clip(3e-4, 4e-4))
    weight: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.weight <= 1:
            raise ConfigError(f"the weight of the token's surrogate must be in [0, 1], got {self.weight}")

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        return _mixed(self.token(ratio, advantages), self.sequence(SequenceRatio()(batch), advantages), self.weight)


@dataclass(frozen=True)
class EntropyHybridClip:
    """:class:`HybridClip` with a weight for each token: the more undecided the policy is there, the more its own ratio.

        loss[i, t] = w[i, t] * token(ratio[i, t], A) + (1 - w[i, t]) * sequence(s[i], A)
        w[i, t] = entropy[i, t] / max_t(entropy[i, t]),   without gradient

    The weight has no scale: entropies twice as high give the same one, and the most undecided token of a response has
    weight 1. A response without entropy anywhere has weight 0: GSPO's surrogate. Equal entropies give GRPO's.

    Metrics: as clipped counts a token where both are.
    Raises: BatchError without ``entropy``.
    Source: DHPO, arXiv:2601.05607, its entropy-guided variant. Assumed: the weight's function, which is not in the
    sources at hand, and that each part takes its own minimum.
    """

    statistics: ClassVar[frozenset[Statistic]] = frozenset({"entropy"})
    token: Clip = field(default_factory=Clip)
    sequence: Clip = field(default_factory=lambda: Clip(3e-4, 4e-4))

    def __call__(self, ratio: Tensor, advantages: Tensor, batch: PolicyBatch) -> tuple[Tensor, Tensor]:
        # Off the mask it may be anything, and rounding can leave that of a decided policy below 0.
        entropy = torch.where(batch.mask, batch.statistic("entropy"), 0).clamp(min=0)
        highest = entropy.amax(1, keepdim=True)
        weight = entropy / torch.where(highest > 0, highest, 1)
        return _mixed(self.token(ratio, advantages), self.sequence(SequenceRatio()(batch), advantages), weight)


def _mixed(
    token: tuple[Tensor, Tensor], sequence: tuple[Tensor, Tensor], weight: Tensor | float
) -> tuple[Tensor, Tensor]:
    """Two losses and where each was clipped, to their mixture and where both were."""
    return weight * token[0] + (1 - weight) * sequence[0], token[1] & sequence[1]

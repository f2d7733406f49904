"""Two clips, one of the token's ratio and one of the response's."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch
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
        token, token_clipped = self.token(ratio, advantages)
        sequence, sequence_clipped = self.sequence(SequenceRatio()(batch), advantages)
        return self.weight * token + (1 - self.weight) * sequence, token_clipped & sequence_clipped

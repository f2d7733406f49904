"""A price on the distance that the policy has moved since it sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from concord.core.errors import ConfigError
from concord.objectives.batch import PolicyBatch
from concord.objectives.ratio import TokenRatio


@dataclass(frozen=True)
class RatioVariance:
    """``coefficient * (ratio - 1)^2`` for each token: ``[B, T]``.

    The mean of the ratio under the sampling policy is 1, so this is the ratio's variance. Its gradient is
    ``2 * coefficient * (ratio - 1) * ratio * grad logp``: exactly 0 where the policy has not moved.

    Source: R2VPO, arXiv:2601.03320. There the coefficient is the dual variable of a bound on the variance:
    :class:`PricedVariance`.

    Raises: ConfigError for a negative coefficient.
    """

    needs_reference: ClassVar[bool] = False
    coefficient: float

    def __post_init__(self) -> None:
        if self.coefficient < 0:
            raise ConfigError(f"the coefficient of the ratio's variance must not be negative, got {self.coefficient}")

    def __call__(self, batch: PolicyBatch) -> Tensor:
        return self.coefficient * (TokenRatio()(batch) - 1).square()


@dataclass(frozen=True)
class PricedVariance:
    """``price * (ratio - 1)^2`` for each token: ``[B, T]``; :class:`RatioVariance` at a price that moves.

    The column ``price`` ``[B]`` is a stage's to write, such as :class:`concord.stages.VariancePrice`.

    Raises: MissingColumn without that column.
    Source: R2VPO, arXiv:2601.03320.
    """

    needs_reference: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset({"price"})

    def __call__(self, batch: PolicyBatch) -> Tensor:
        price = batch.column("price").to(batch.logp.dtype)
        return price[:, None] * (TokenRatio()(batch) - 1).square()

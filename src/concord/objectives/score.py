"""What a preference loss compares: one number a response, whose factor is the loss's beta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

from concord.core.errors import BatchError
from concord.objectives.pairs import Responses


class Score(Protocol):
    """``[B]``, a response's implicit reward divided by beta."""

    needs_reference: ClassVar[bool]
    """Whether it reads ``ref_logp``."""

    def __call__(self, responses: Responses) -> Tensor: ...


@dataclass(frozen=True)
class LogRatio:
    """``LP - LP_ref``, summed over the response's tokens: ``[B]``, in nats. Source: DPO, arXiv:2305.18290.

    Raises: BatchError without ``ref_logp``.
    """

    needs_reference: ClassVar[bool] = True

    def __call__(self, responses: Responses) -> Tensor:
        if responses.ref_logp is None:
            raise BatchError(f"{type(self).__name__} needs ref_logp in the Responses")
        return responses.logp - responses.ref_logp.detach()


@dataclass(frozen=True)
class MeanLogRatio(LogRatio):
    """``(LP - LP_ref) / length``: ``[B]``, in nats a token. Source: IPO as in TRL."""

    def __call__(self, responses: Responses) -> Tensor:
        return super().__call__(responses) / responses.tokens


@dataclass(frozen=True)
class WeightedLogp:
    """``(LP + 1) / length``: ``[B]``, in nats a token; no reference.

    What weighted entropy with the weight 1 / length leaves in the place of a reference: the mean
    log-probability of a token, and 1 / length more. Source: POWER, arXiv:2412.09544.
    """

    needs_reference: ClassVar[bool] = False

    def __call__(self, responses: Responses) -> Tensor:
        return (responses.logp + 1) / responses.tokens

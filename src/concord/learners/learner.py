"""A learner: parameters that train beside the policy and say something about its rollouts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome


class Learner(ABC):
    """Trainable parts with an optimiser of their own, which write columns for a chain to read.

    A chain is pure, a learner is not: an engine calls it once a generation step, before the chain and on all of the
    step's rollouts, hands it the outcome after the chain, and saves its state with each checkpoint. With several
    processes each has one of its own and hands it the same gathered rollouts; from equal seeds they stay equal.

    Attributes:
        metrics: what the last call measured, each 0-d and on the learner's device; NaN for what the rollouts did not
            allow to be measured.
    """

    metrics: Mapping[str, Tensor]

    @abstractmethod
    def step(self, batch: Rollouts) -> Rollouts:
        """The rollouts with the learner's columns, as it judges them now; then it learns, if rollouts are all it needs
        for that."""

    @abstractmethod
    def score(self, batch: Rollouts) -> Rollouts:
        """The same columns without the step: nothing is learnt, and no random state moves."""

    def follow(self, batch: Rollouts, outcome: Outcome) -> None:  # noqa: B027 most have learnt by then
        """Learn from what the chain made of the rollouts that :meth:`step` gave; nothing, unless overridden."""

    @abstractmethod
    def state_dict(self) -> dict[str, Tensor]:
        """All that the next step depends on, as named tensors on their devices."""

    @abstractmethod
    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`state_dict` gave, to the same bits.

        Raises:
            ConfigError: the tensors are those of a learner of another shape.
        """


class LearnerSpec(Protocol):
    """The parameters of a learner: a frozen dataclass that a method carries, and that builds the learner.

    Attributes:
        reads: the columns that an engine must supply.
        writes: the columns that the learner adds.
    """

    reads: ClassVar[frozenset[str]]
    writes: ClassVar[frozenset[str]]

    @property
    def warmup(self) -> int:
        """For how many generation steps the learner trains alone, while the engine leaves the policy as it is."""
        ...

    def check(self, rewards: Sequence[str]) -> None:
        """Refuse, before a run begins, rewards that the learner cannot work with; ConfigError says why."""
        ...

    def build(self, hidden_size: int, *, seed: int = 0, device: torch.device | str = "cpu") -> Learner:
        """A learner with fresh parameters, the same ones for the same seed; torch's own generators do not move."""
        ...


@runtime_checkable
class PoolingSpec(LearnerSpec, Protocol):
    """A learner that reads the column "hidden", and says what is in it."""

    def pool(self, states: Tensor, mask: Tensor) -> Tensor:
        """Column "hidden" from the policy's last hidden states at the response's tokens.

        Shapes: states [N, T, H], mask [N, T] bool, the tokens that are there -> [N, H] float32.
        """
        ...

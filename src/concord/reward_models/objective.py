"""What a reward model is trained to: Bradley-Terry, and terms against biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from concord.core.errors import ConfigError
from concord.learners.probe import Probe
from concord.reward_models.penalties import Information, LinearCorrelation, Penalty

Over = Literal["update", "micro_batch"]


@dataclass(frozen=True)
class InformationTerm:
    """DIR's penalty for one bias, not built yet: the width of a state is known once the model is.

    See :class:`concord.reward_models.penalties.Information`.

    Attributes:
        bias: its name; the data set's column ``bias/<name>`` holds the labels.
        weight: lambda; 1 in the authors' script, 0.1 in their code.
        classes: number of labels.
        hidden, steps, learning_rate: of the probe; the authors' are 1024, 5 and 1e-4.
    """

    bias: str
    weight: float = 1.0
    classes: int = 2
    hidden: int = 1024
    steps: int = 5
    learning_rate: float = 1e-4

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise ConfigError(f"bias {self.bias!r}: classes must be 2 or more, got {self.classes}")

    def build(self, width: int, seed: int, device: torch.device) -> Penalty:
        probe = Probe(
            width,
            self.classes,
            hidden=self.hidden,
            steps=self.steps,
            learning_rate=self.learning_rate,
            seed=seed,
            device=device,
        )
        return Information(self.bias, self.weight, probe)


@dataclass(frozen=True)
class CorrelationTerm:
    """A linear penalty on length; see :class:`concord.reward_models.penalties.LinearCorrelation`."""

    weight: float = 1.0

    def build(self, width: int, seed: int, device: torch.device) -> Penalty:
        return LinearCorrelation(self.weight)


Term = InformationTerm | CorrelationTerm


@dataclass(frozen=True)
class Objective:
    """-mean log sigmoid(r_chosen - r_rejected) + sum over terms of weight * penalty.

    Attributes:
        terms: none = plain Bradley-Terry.
        over: the pairs a penalty is computed over. ``update``: all of an optimiser's update, over micro-batches and
            processes. ``micro_batch``: those of one micro-batch, over processes, as the authors of DIR do; of one
            pair alone the information is always 0.
    """

    terms: tuple[Term, ...] = ()
    over: Over = "update"

    @property
    def biases(self) -> tuple[str, ...]:
        """The biases whose labels the terms read."""
        return tuple(term.bias for term in self.terms if isinstance(term, InformationTerm))

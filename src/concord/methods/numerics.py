"""Numerics by name: the same method in two engines differs in its constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from concord.core.errors import UnknownName, nearest
from concord.stages import BatchNormalize, Whiten

Numerics = Literal["verl", "trl"]


@dataclass(frozen=True)
class Constants:
    """What an engine fixes for all its methods.

    Attributes:
        eps: added to a group's deviation.
        whiten: the batch step of a group-relative signal.
        batch_normalize: the batch step of a raw one.
        dual_clip: bound on the loss where the advantage is negative.
    """

    eps: float
    whiten: Whiten
    batch_normalize: BatchNormalize
    dual_clip: float | None


_CONSTANTS = {
    # verl b178a3c: core_algos.py, torch_functional.masked_whiten
    "verl": Constants(1e-6, Whiten("tokens", 1e-8, True), BatchNormalize("tokens", 1e-8, True), 3.0),
    # TRL 1.16: grpo_trainer.py, rloo_trainer.py
    "trl": Constants(1e-4, Whiten("rollouts", 1e-4), BatchNormalize("rollouts", 1e-4), None),
}


def constants(numerics: str) -> Constants:
    """The tested set of that name; UnknownName says which there are."""
    try:
        return _CONSTANTS[numerics]
    except KeyError:
        raise UnknownName(
            f"no numerics {numerics!r}; there are {', '.join(_CONSTANTS)}" + nearest(numerics, _CONSTANTS)
        ) from None

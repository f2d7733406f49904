"""A form: how one framework calls its reward functions, and what they return there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from concord.rewards.batch import RewardBatch
from concord.rewards.call import Call, RewardFunction


class Unreadable(ValueError):
    """A reward function returned something of the wrong type or length; the message says what it should return."""


class Form(Protocol):
    """One framework's reward signature.

    Attributes:
        name: ``trl``, ``verl``, ...; what ``form:`` in a configuration says. ``mapped`` where it names parameters.
        framework: the framework's name in full, for messages.
        whole: True if one call scores many completions, False if it scores one.
    """

    name: ClassVar[str]
    framework: ClassVar[str]
    whole: ClassVar[bool]

    def bind(self, target: Any, options: Mapping[str, Any]) -> RewardFunction:
        """The function to call: of a class an instance's, of an object its method; with ``options`` put in."""
        ...

    def call(self, batch: RewardBatch, function: RewardFunction) -> Call:
        """The arguments with which ``function`` is to be called for this batch; of size 1 where not ``whole``."""
        ...

    def read(self, value: Any, size: int) -> Mapping[str, Sequence[Any]]:
        """What was returned, as columns of ``size`` raw entries each, the main one (first) and others by name.

        Raises:
            Unreadable: the wrong type or length.
        """
        ...

"""What a worker loads: the user's function, by its path, in its framework's form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from concord.rewards.call import RewardFunction


class Loadable(Protocol):
    """Small, and pickles: a worker gets it and builds the function."""

    def build(self) -> RewardFunction:
        """The function to call with ``Call.arguments``; whatever this raises fails every call."""
        ...


@dataclass(frozen=True)
class Target:
    """A reward function by name.

    Attributes:
        path: ``file.py:name`` or ``package.module:name``.
        form: the name of the framework whose signature it has, or the names of its parameters.
        options: further keyword arguments, the same at every call; they have to pickle.
    """

    path: str
    form: str | Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> RewardFunction:
        """The function, its options put in.

        Raises:
            ConfigError: it is not found, its file fails on import, or the form does not take it.
        """
        from concord.rewards.forms import detect
        from concord.rewards.source import find

        return detect.get(self.form).bind(find(self.path), self.options)

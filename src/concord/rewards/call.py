"""One call of a reward function, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, eq=False)
class Call:
    """The arguments of one call, and how many completions it is about."""

    arguments: Mapping[str, Any]
    size: int


@dataclass(frozen=True, eq=False)
class Reply:
    """What came of a call.

    Attributes:
        value: what the function returned; None where it did not return.
        status: None where it returned; else ``FAILED`` or ``TIMED_OUT``.
        error: what went wrong, in one line: type and message; None where nothing did.
        place: where it was raised, ``file:line in function``; None where that is not known.
        exception: the exception itself where it was raised in this process, to chain.
    """

    value: Any = None
    status: str | None = None
    error: str | None = None
    exception: BaseException | None = field(default=None, repr=False)
    place: str | None = None


class Runner(Protocol):
    """Makes calls of one function, and returns whatever happens."""

    def run(self, calls: Sequence[Call]) -> list[Reply]:
        """One reply for each call, in the order of the calls; never raises for what the function does."""
        ...

    def close(self) -> None:
        """Let go of processes and connections; a closed runner is not used again."""
        ...


RewardFunction = Callable[..., Any]
"""Called with ``Call.arguments`` as keywords; plain or a coroutine function."""

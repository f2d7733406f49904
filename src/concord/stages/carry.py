"""Hand facts of the batch on to the loss."""

from __future__ import annotations

from dataclasses import dataclass

from concord.core.errors import ConfigError
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal
from concord.core.stage import Stage


@dataclass(frozen=True)
class Carry(Stage):
    """Columns of the batch as they are, for a loss that reads them; the signal passes through.

    Shapes: [N, C] -> [N, C]; writes the columns, each [N] or [N, T].  State: none.  Metrics: none.
    Raises: ConfigError without columns.

    Example:
        >>> Carry(("revised",)).writes
        frozenset({'revised'})
    """

    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.columns or isinstance(self.columns, str):
            raise ConfigError(f"columns is a tuple of names, got {self.columns!r}")

    @property
    def needs(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset(self.columns)

    @property
    def writes(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset(self.columns)

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        return signal.to().with_columns(**{name: batch.columns[name] for name in self.columns})

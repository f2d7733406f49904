"""What a reward's weight is at each optimisation step."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from concord.core.errors import ConfigError, nearest


class Schedule(Protocol):
    """A number for every optimisation step; a value without state, so a resumed run goes on where it was."""

    def at(self, step: int) -> float: ...


@dataclass(frozen=True)
class _Ramp:
    start: float
    end: float
    steps: int
    after: int = 0

    def __post_init__(self) -> None:
        check_number("from", self.start)
        check_number("to", self.end)
        for name, least in (("steps", 1), ("after", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(
                    f"{name} must be a whole number of optimisation steps, at least {least}; got {value!r}"
                )

    def _progress(self, step: int) -> float:
        return min(1.0, max(0.0, (step - self.after) / self.steps))

    def _between(self, share: float) -> float:
        return self.end if share == 1 else self.start + (self.end - self.start) * share


class Linear(_Ramp):
    """From ``start`` to ``end`` in a straight line of ``steps`` steps, beginning at step ``after``; then ``end``.

        weight(s) = start + (end - start) p(s),    p(s) = min(1, max(0, (s - after) / steps))

    Example:
        >>> [Linear(0.0, 0.3, steps=200).at(step) for step in (0, 100, 200, 500)]
        [0.0, 0.15, 0.3, 0.3]
    """

    def at(self, step: int) -> float:
        return self._between(self._progress(step))


class Cosine(_Ramp):
    """As :class:`Linear`, along half a cosine: slow at both ends.

        weight(s) = start + (end - start) (1 - cos(pi p(s))) / 2

    Example:
        >>> [round(Cosine(1.0, 0.0, steps=100).at(step), 3) for step in (0, 25, 50, 100)]
        [1.0, 0.854, 0.5, 0.0]
    """

    def at(self, step: int) -> float:
        return self._between((1 - math.cos(math.pi * self._progress(step))) / 2)


@dataclass(frozen=True)
class Steps:
    """From each step named on, the number that stands there.

    Attributes:
        values: by the step from which on they hold; step 0 is one of them.

    Example:
        >>> [Steps({0: 1.0, 100: 0.5}).at(step) for step in (0, 99, 100)]
        [1.0, 1.0, 0.5]
    """

    values: Mapping[int, float]

    def __post_init__(self) -> None:
        for step, value in self.values.items():
            if isinstance(step, bool) or not isinstance(step, int) or step < 0:
                raise ConfigError(f"a schedule by steps has optimisation steps as keys, got {step!r}")
            check_number(f"the weight from step {step} on", value)
        if 0 not in self.values:
            raise ConfigError("a schedule by steps says what holds from step 0 on: {0: ..., 100: ...}")

    def at(self, step: int) -> float:
        return self.values[max(begin for begin in self.values if begin <= step)]


SHAPES: dict[str, type[Linear] | type[Cosine]] = {"linear": Linear, "cosine": Cosine}


def schedule(given: Any) -> float | Schedule:
    """Read a weight as it stands in a configuration.

    A number; ``{from: 0, to: 0.3, steps: 200}``, perhaps with ``after: 50`` and ``shape: cosine``; or numbers by
    the step from which on they hold, ``{0: 1.0, 100: 0.5}``.

    Raises:
        ConfigError: anything else, with what it should be.

    Example:
        >>> schedule({"from": 0, "to": 0.3, "steps": 200, "shape": "cosine"})
        Cosine(start=0, end=0.3, steps=200, after=0)
    """
    if not isinstance(given, Mapping):
        check_number("the weight", given)
        return float(given)
    if given and all(isinstance(key, int) for key in given):
        return Steps(dict(given))
    known = ("from", "to", "steps", "after", "shape")
    for key in given:
        if key not in known:
            raise ConfigError(f"a schedule has no {key!r}" + nearest(str(key), known))
    if missing := [key for key in known[:3] if key not in given]:
        raise ConfigError(f"a schedule needs {', '.join(missing)}: {{from: 0, to: 0.3, steps: 200}}")
    shape = given.get("shape", "linear")
    if shape not in SHAPES:
        raise ConfigError(f"shape is {' or '.join(SHAPES)}, got {shape!r}" + nearest(str(shape), SHAPES))
    return SHAPES[shape](given["from"], given["to"], given["steps"], given.get("after", 0))


def always_zero(weight: float | Schedule, steps: int | None = None) -> bool:
    """Return whether a weight is 0 at each of the first optimisation steps; None = at every step there is.

    Of a schedule that is none of those here nothing is known.

    Example:
        >>> always_zero(0.0), always_zero(Linear(0.0, 0.3, steps=10, after=100)), always_zero(Steps({0: 0.0}))
        (True, False, True)
        >>> always_zero(Linear(0.0, 0.3, steps=10, after=100), steps=50)
        True
    """
    if isinstance(weight, int | float):
        return weight == 0
    if isinstance(weight, Linear | Cosine):
        last = weight.after + weight.steps if steps is None else steps - 1
        return weight.start == 0 and weight.at(last) == 0
    if isinstance(weight, Steps):
        return not any(value for begin, value in weight.values.items() if steps is None or begin < steps)
    return False


def check_number(what: str, value: object) -> None:
    """Raise ConfigError unless ``value`` is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigError(f"{what} must be a number, got {value!r}")
    if not math.isfinite(value):
        raise ConfigError(f"{what} must be finite, got {value}")

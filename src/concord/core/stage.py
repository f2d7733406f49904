"""A stage: one step of a signal."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from concord.core.errors import ConfigError, DuplicateName, UnknownName, nearest
from concord.core.rollouts import Rollouts
from concord.core.signal import Signal

State = Any

_STAGES: dict[str, type[Stage]] = {}


@dataclass(frozen=True)
class Stage:
    """One step of a signal: a frozen dataclass whose fields are its parameters.

    Override :meth:`apply`, which is pure. A stage that remembers overrides :meth:`init` and
    :meth:`step` instead; its state is a value that is passed in and handed back, never stored.
    A stage makes no host sync (``.item()``, ``bool(tensor)``): chains run on the device.

    Example:
        >>> @dataclass(frozen=True)
        ... class Halve(Stage):
        ...     def apply(self, signal, batch):
        ...         return signal.to(signal.values / 2)
        >>> Halve().name
        'halve'
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """The batch columns it reads. A stage whose needs depend on its fields makes this a property."""

    prefers: ClassVar[frozenset[str]] = frozenset()
    """The batch columns that it reads where the batch has them, and does without, with a warning, elsewhere."""

    writes: ClassVar[frozenset[str]] = frozenset()
    """The columns that it writes for the loss (``Signal.with_columns``)."""

    selects: ClassVar[bool] = False
    """Whether it chooses among rollouts or groups: ``Chain.unselective`` leaves such stages out."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        name = _snake(cls.__name__)
        known = _STAGES.get(name)
        # The same class defined again (a notebook cell run twice) replaces itself.
        if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateName(f"stage {name!r} is {known.__module__}.{known.__qualname__} already; rename {cls}")
        _STAGES[name] = cls

    @property
    def name(self) -> str:
        """The class name in snake case; distinct within a chain."""
        return _snake(type(self).__name__)

    def init(self) -> State:
        """The state before the first step; None for a stage that does not remember."""
        return None

    def apply(self, signal: Signal, batch: Rollouts) -> Signal:
        """The signal after this stage."""
        raise NotImplementedError(f"{type(self).__name__} overrides neither apply nor step")

    def step(self, signal: Signal, batch: Rollouts, state: State) -> tuple[Signal, State]:
        """The signal after this stage, and the state for the next step."""
        return self.apply(signal, batch), state

    def to_config(self) -> dict[str, Any]:
        """``{"stage": name, **fields}``, plain enough for JSON and YAML."""
        return {"stage": self.name} | {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Stage:
        """The stage that :meth:`to_config` described, also after a trip through JSON or YAML.

        Raises:
            ConfigError: no "stage" key, or a parameter that the stage does not have.
            UnknownName: no such stage; a custom one must be imported first.
        """
        parameters = dict(config)
        name = parameters.pop("stage", None)
        if not isinstance(name, str):
            raise ConfigError(f"a stage's config names it under the key 'stage', got {dict(config)}")
        if name not in _STAGES:
            raise UnknownName(f"no stage {name!r}" + nearest(name, _STAGES))
        known = [f.name for f in dataclasses.fields(_STAGES[name])]
        for key in parameters:
            if key not in known:
                raise ConfigError(f"stage {name!r} has no parameter {key!r}" + nearest(key, known))
        return _STAGES[name](**{key: _frozen(value) for key, value in parameters.items()})


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _frozen(value: Any) -> Any:
    """JSON and YAML have lists where stages hold tuples."""
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value

"""``key.sub=value`` on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core import safe_yaml
from concord.core.errors import ConfigError


@dataclass(frozen=True)
class Override:
    """One ``key.sub=value``.

    Attributes:
        keys: on the way to the value.
        value: as YAML says.
    """

    keys: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Override:
        """Read ``key.sub=value``.

        Raises:
            ConfigError: no ``=``, an empty key, or a value that is not YAML.

        Example:
            >>> Override.parse("engine.learning_rate=1e-6")
            Override(keys=('engine', 'learning_rate'), value=1e-06)
        """
        path, equals, value = text.partition("=")
        keys = tuple(path.split("."))
        if not equals or not all(keys):
            raise ConfigError(f"{text[:100]!r} is no override; write key=value or key.sub=value")
        try:
            return cls(keys, safe_yaml.read(value))
        except ConfigError as error:
            raise ConfigError(f"{path}={value[:60]}: the value is not YAML ({error}); quote it") from error


def apply_overrides(
    raw: dict[str, Any], overrides: Sequence[str], resolve: Callable[[dict[str, Any]], None] = lambda _: None
) -> list[Override]:
    """Set keys of a configuration in place: ``engine.learning_rate=1e-6``, ``method={name: gd2po, tau: 0.5}``.

    The value is read as YAML. Sections that are not there yet are made; whether the keys exist is for validation
    to say. A dot always separates, so a key with a dot in it cannot be reached.

    Args:
        raw: the configuration.
        overrides: in their order, later ones win.
        resolve: makes the paths in a configuration of a single override absolute, in place.

    Raises:
        ConfigError: as :meth:`Override.parse`, or a key below something that has no keys.

    Example:
        >>> raw = {"engine": {"max_steps": 100}}
        >>> _ = apply_overrides(raw, ["engine.max_steps=2", "seed=1"])
        >>> raw
        {'engine': {'max_steps': 2}, 'seed': 1}
    """
    parsed = [Override.parse(text) for text in overrides]
    for override in parsed:
        alone = _alone(override)
        try:
            resolve(alone)
        except ConfigError as error:
            raise ConfigError(f"override {error}") from error
        _put(raw, alone, override.keys)
    return parsed


def _alone(override: Override) -> dict[str, Any]:
    """Return the configuration that holds nothing but the override."""
    alone = override.value
    for key in reversed(override.keys):
        alone = {key: alone}
    made: dict[str, Any] = alone
    return made


def _put(section: dict[str, Any], alone: dict[str, Any], keys: Sequence[str]) -> None:
    for depth, key in enumerate(keys[:-1], 1):
        section, alone = section.setdefault(key, {}), alone[key]
        if not isinstance(section, dict):
            raise ConfigError(f"{'.'.join(keys)}=...: {'.'.join(keys[:depth])} is {section!r:.100} and has no keys")
    section[keys[-1]] = alone[keys[-1]]

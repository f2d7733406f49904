"""``key.sub=value`` on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from concord.core.errors import ConfigError
from concord.run import safe_yaml


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set keys of a configuration in place: ``engine.learning_rate=1e-6``, ``method={name: gd2po, tau: 0.5}``.

    The value is read as YAML. Sections that are not there yet are made; whether the keys exist is for validation
    to say. A dot always separates, so a key with a dot in it cannot be reached.

    Raises:
        ConfigError: no ``=``, an empty key, a value that is not YAML, or a key below something that has no keys.

    Example:
        >>> raw = {"engine": {"max_steps": 100}}
        >>> apply_overrides(raw, ["engine.max_steps=2", "seed=1"])
        >>> raw
        {'engine': {'max_steps': 2}, 'seed': 1}
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        *parents, last = keys = path.split(".")
        if not equals or not all(keys):
            raise ConfigError(f"{override!r} is no override; write key=value or key.sub=value")
        try:
            value = safe_yaml.read(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{override!r}: the value is not YAML ({error}); quote it") from error
        section = raw
        for depth, key in enumerate(parents, 1):
            section = section.setdefault(key, {})
            if not isinstance(section, dict):
                raise ConfigError(f"{override!r}: {'.'.join(keys[:depth])} is {section!r} and has no keys")
        section[last] = value

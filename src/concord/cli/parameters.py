"""``name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from concord.core.errors import ConfigError, nearest


def parse(words: Sequence[str], known: Iterable[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs, values as YAML.

    Raises:
        ConfigError: no ``=``, a name that is not known, a value that is not YAML.

    Example:
        >>> parse(["tau=0.5", "rule=paper", "weights={a: 2}"], ["tau", "rule", "weights"])
        {'tau': 0.5, 'rule': 'paper', 'weights': {'a': 2}}
    """
    names = list(known)
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is not name=value")
        if name not in names:
            raise ConfigError(f"no parameter {name!r}; there are {', '.join(names)}" + nearest(name, names))
        try:
            values[name] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"{word!r}: the value is not YAML: {error}") from error
    return values

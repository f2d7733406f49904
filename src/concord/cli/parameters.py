"""``name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import yaml

from concord.core.errors import ConfigError, nearest
from concord.rewards.builtin.options import short
from concord.run import safe_yaml


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
            values[name] = safe_yaml.read(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"{name}={short(text)}: the value is not YAML: {error}") from error
    return values


def pairs(option: str, text: str | None) -> dict[str, str] | None:
    """Read ``name=value,name=value``; None where the option was not given.

    Raises:
        ConfigError: not that, or a name twice.

    Example:
        >>> pairs("--columns", "prompt=question, answer=reward_model.ground_truth")
        {'prompt': 'question', 'answer': 'reward_model.ground_truth'}
    """
    if text is None:
        return None
    parts = [part.partition("=") for part in text.split(",")]
    found = {name.strip(): value.strip() for name, _, value in parts}
    if not all(equals for _, equals, _ in parts) or not all(found) or not all(found.values()):
        raise ConfigError(f"{option} {text!r}: not name=value pairs separated by commas")
    if len(found) < len(parts):
        raise ConfigError(f"{option} {text!r}: a name stands twice")
    return found

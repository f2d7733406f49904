"""``name=value`` on the command line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from concord.core import safe_yaml
from concord.core.errors import ConfigError
from concord.core.typed_options import arguments
from concord.rewards.builtin.options import short


def parse(words: Sequence[str], function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Read ``name=value`` pairs, values as YAML, into arguments for a function.

    Raises:
        ConfigError: no ``=``, a value that is not YAML, or as :func:`concord.core.typed_options.arguments`.

    Example:
        >>> from concord.methods import gd2po
        >>> parse(["tau=0.5", "rule=paper", "weights={a: 2}"], gd2po, "gd2po")
        {'tau': 0.5, 'rule': 'paper', 'weights': {'a': 2}}
    """
    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals:
            raise ConfigError(f"{word[:100]!r} is not name=value")
        try:
            values[name] = safe_yaml.read(text)
        except ConfigError as error:
            raise ConfigError(f"{name}={short(text)}: the value is not YAML: {error}") from error
    return arguments(values, function, owner)


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

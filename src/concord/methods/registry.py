"""Methods by name, for configs and the command line. Code calls the functions."""

from __future__ import annotations

from typing import Any

from concord.core.catalogue import builder, info
from concord.core.errors import ConfigError
from concord.methods.method import Method


def create(name: str, **parameters: Any) -> Method:
    """Build a method by name: ``create("gd2po", tau=0.8)`` is ``gd2po(tau=0.8)``.

    Raises:
        UnknownName: no such method; the message names the nearest.
        ConfigError: what has this name is no advantage and no policy loss, but a preference loss, say.
        TypeError: a parameter that the function does not have, as from the function itself.
    """
    kind = info(name).kind
    if kind not in ("advantage", "loss"):
        raise ConfigError(
            f"{name!r} is a {kind}, not an advantage or a policy loss; `concord show {name}` says how it is used"
        )
    made: Method = builder(name)(**parameters)
    return made

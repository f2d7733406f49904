"""Methods by name, for configs and the command line. Code calls the functions."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

from concord.core.errors import DuplicateName, UnknownName, nearest
from concord.methods.method import Card, Method

Build = Callable[..., Method]

_METHODS: dict[str, tuple[Build, Card]] = {}
_plugins_loaded = False


def register(card: Card) -> Callable[[Build], Build]:
    """Enter a function that builds a method into the catalogue, under the function's own name.

    A package of yours enters its methods by naming the module that registers them in the
    entry-point group ``concord.methods``.

    Raises:
        DuplicateName: the name is taken.
    """

    def enter(build: Build) -> Build:
        name = build.__name__
        if name in _METHODS:
            raise DuplicateName(f"method {name!r} is registered already, by {_METHODS[name][0].__module__}")
        _METHODS[name] = build, card
        return build

    return enter


def create(name: str, **parameters: Any) -> Method:
    """Build a method by name: ``create("gd2po", tau=0.8)`` is ``gd2po(tau=0.8)``.

    Raises:
        UnknownName: no such method; the message names the nearest.
        TypeError: a parameter that the function does not have, as from the function itself.
    """
    return builder(name)(**parameters)


def builder(name: str) -> Build:
    """The function behind a name; its signature holds the parameters."""
    return _entry(name)[0]


def info(name: str) -> Card:
    """The card of a method: title, paper, formula, reference code, what was checked."""
    return _entry(name)[1]


def names(pattern: str = "*") -> list[str]:
    """The registered names that match a glob, sorted."""
    _load_plugins()
    return sorted(fnmatch.filter(_METHODS, pattern))


def _entry(name: str) -> tuple[Build, Card]:
    if name not in _METHODS:
        _load_plugins()
    if name not in _METHODS:
        raise UnknownName(f"no method {name!r}" + nearest(name, _METHODS) + "; `concord methods` lists them")
    return _METHODS[name]


def _load_plugins() -> None:
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        for plugin in entry_points(group="concord.methods"):
            plugin.load()

"""What is published under a name: cards, and the functions that build what they describe."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from concord.core.errors import DuplicateName, UnknownName, nearest

Kind = Literal["advantage", "loss", "preference", "strategy", "reward"]
"""What a method changes: how rewards become advantages; the policy loss; the loss over preference pairs; which rollouts
are made; the rewards themselves. The first two are :class:`concord.methods.Method`."""

Build = Callable[..., Any]
_Build = TypeVar("_Build", bound=Build)


@dataclass(frozen=True)
class Card:
    """Where a method comes from, and how far it was checked.

    Attributes:
        title: the paper's.
        arxiv: its id.
        formula: what it computes, in one line of plain text; for an advantage, the advantage.
        code: the reference implementation, "owner/repository@commit".
        certainty: "high" if read in the authors' code or paper, else "low".
        parity: what the numbers were compared with, and how closely; empty = with nothing outside.
        kind: what it changes.
        needs: what it needs beside rewards where the object that is built does not say so itself, such as
            "a judge"; a :class:`concord.methods.Method` says so by its ``needs``.
    """

    title: str
    arxiv: str
    formula: str
    code: str = ""
    certainty: Literal["high", "low"] = "high"
    parity: str = ""
    kind: Kind = "advantage"
    needs: tuple[str, ...] = ()


_ENTRIES: dict[str, tuple[Build, Card]] = {}
_plugins_loaded = False


def register(card: Card) -> Callable[[_Build], _Build]:
    """Enter a function that builds a method into the catalogue, under the function's own name.

    A package of yours enters its methods by naming the module that registers them in the
    entry-point group ``concord.methods``.

    Raises:
        DuplicateName: the name is taken.
    """

    def enter(build: _Build) -> _Build:
        name = build.__name__
        if name in _ENTRIES:
            raise DuplicateName(f"method {name!r} is registered already, by {_ENTRIES[name][0].__module__}")
        _ENTRIES[name] = build, card
        return build

    return enter


def builder(name: str) -> Build:
    """The function behind a name; its signature holds the parameters.

    Raises:
        UnknownName: no such method; the message names the nearest.
    """
    return _entry(name)[0]


def info(name: str) -> Card:
    """The card of a method: title, paper, formula, reference code, what was checked."""
    return _entry(name)[1]


def names(pattern: str = "*", *kinds: Kind) -> list[str]:
    """The registered names that match a glob, sorted; of these kinds only, if any are given."""
    _load_plugins()
    return [name for name in sorted(fnmatch.filter(_ENTRIES, pattern)) if not kinds or _ENTRIES[name][1].kind in kinds]


def _entry(name: str) -> tuple[Build, Card]:
    if name not in _ENTRIES:
        _load_plugins()
    if name not in _ENTRIES:
        raise UnknownName(f"no method {name!r}" + nearest(name, _ENTRIES) + "; `concord methods` lists them")
    return _ENTRIES[name]


def _load_plugins() -> None:
    global _plugins_loaded
    if not _plugins_loaded:
        _plugins_loaded = True
        for plugin in entry_points(group="concord.methods"):
            plugin.load()

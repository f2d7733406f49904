"""What a builder makes, written down: its parts in order, each linked to the reference."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

from scripts.docs import docstring, reference

from concord.methods import Method


def built(build: Callable[..., Any], **values: Any) -> Any:
    """What a builder returns with its defaults; None if it cannot be built with them alone."""
    return None if needed(build) else build(**values)


def needed(build: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a builder that have no default."""
    return [p for p in inspect.signature(build).parameters.values() if p.default is p.empty]


def composition(made: Any, build: Callable[..., Any]) -> str:
    """The stages of a chain in order; a loss slot by slot; what trains beside the policy; or what is returned."""
    if isinstance(made, Method):
        return of_method(made)
    if inner := slots(made):
        return "\n".join([f"{linked(made, opened=True)}", "", *(f"- {slot}: {linked(p)}" for slot, p in inner.items())])
    if dataclasses.is_dataclass(made):
        return linked(made)
    returned = inspect.signature(build).return_annotation
    return f"It returns a `{returned if isinstance(returned, str) else written(returned)}`."


def of_method(made: Method) -> str:
    stages = [f"{n}. {linked(stage)}" for n, stage in enumerate(made.signal.stages, 1)]
    loss = [f"- {slot}: {linked(part)}" for slot, part in slots(made.objective).items()]
    said = ["The chain:", "", *stages, "", f"The loss, {linked(made.objective, opened=True)}", "", *loss, ""]
    dropped = "stay in" if made.count_dropped else "leave"
    said += [f"Rollouts that the chain drops {dropped} the denominators of the loss."]
    if made.learner is not None:
        said += ["", f"Beside the policy trains {linked(made.learner)}"]
    return "\n".join(said)


def linked(part: Any, *, opened: bool = False) -> str:
    """An object of ours as it is written, linked to its class, and the first line of its documentation.

    With ``opened`` its parts stand somewhere else, and are left out.
    """
    kind = type(part)
    if not dataclasses.is_dataclass(part):
        return f"`{written(part)}`"
    summary = docstring.roles((inspect.getdoc(kind) or "").partition("\n")[0])
    name = f"`{kind.__name__}`" if opened else f"`{written(part)}`"
    if documented(kind):
        name = f"[{name}][{kind.__module__}.{kind.__qualname__}]"
    return f"{name}: {summary}"


def written(value: Any) -> str:
    """Python that a reader may read: functions by their names."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value) if field.repr)
        return f"{type(value).__name__}({', '.join(f'{name}={written(found)}' for name, found in fields)})"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        inner = ", ".join(written(item) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, functools.partial):
        return f"{written(value.func)}(..., {', '.join(f'{key}={written(v)}' for key, v in value.keywords.items())})"
    return value.__name__ if inspect.isroutine(value) or isinstance(value, type) else repr(value)


@functools.cache
def documented(kind: type) -> bool:
    """Whether a class is in the reference: a package that it is in exports it, or shows all its modules."""
    for package in reference.PACKAGES:
        if kind.__module__.startswith(package + ".") or kind.__module__ == package:
            exported = getattr(importlib.import_module(package), "__all__", ())
            if kind.__name__ in exported or package in reference.OF_MODULES:
                return True
    return False


def slots(made: Any) -> dict[str, Any]:
    """The parts of a record that are records themselves, by slot."""
    if not dataclasses.is_dataclass(made) or isinstance(made, type):
        return {}
    values = {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}
    several = {name: value for name, value in values.items() if isinstance(value, tuple)}
    found = {name: value for name, value in values.items() if dataclasses.is_dataclass(value)}
    for name, group in several.items():
        found |= {f"{name} {n}": value for n, value in enumerate(group, 1) if dataclasses.is_dataclass(value)}
    return found


def by_place(made: Any) -> dict[str, str]:
    """The parts of a method as they are written: stages by name, the loss by slot."""
    if not isinstance(made, Method):
        return {slot: written(part) for slot, part in slots(made).items()}
    stages = {
        f"stage {name}": written(stage) for name, stage in zip(made.signal.names, made.signal.stages, strict=True)
    }
    return stages | {f"loss, {slot}": written(part) for slot, part in slots(made.objective).items()}


def call(name: str, build: Callable[..., Any]) -> str:
    """An import and a call with what has no default."""
    given = [p.name if p.kind == p.POSITIONAL_OR_KEYWORD else f"{p.name}={p.name}" for p in needed(build)]
    return f"from {home(name, build)} import {name}\n\nmade = {name}({', '.join(given)})"


def home(name: str, build: Callable[..., Any]) -> str:
    """The shortest module that a builder can be imported from."""
    parts = build.__module__.split(".")
    for depth in range(2, len(parts)):
        package = ".".join(parts[:depth])
        if getattr(importlib.import_module(package), name, None) is build:
            return package
    return build.__module__

"""Options that are handed on to a dataclass or a function, checked by the type hints of what receives them."""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import enum
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from concord.core.errors import ConfigError, nearest

_SWITCHES = {"yes": True, "on": True, "y": True, "true": True, "no": False, "off": False, "n": False, "false": False}
_MOST_SHOWN = 12
_CONTAINERS: dict[Any, type] = {
    list: list,
    collections.abc.Sequence: list,
    collections.abc.Iterable: list,
    tuple: tuple,
    dict: dict,
    collections.abc.Mapping: dict,
}


@dataclass(frozen=True)
class Fault:
    """What is wrong with one option: its key, and in words what was found and what is allowed."""

    key: str
    text: str

    def __str__(self) -> str:
        return f"{self.key}: {self.text}"


def hints_of(receiver: Any) -> dict[str, Any]:
    """Return the options that a dataclass or a function takes, each with its type; Any where it states none."""
    try:
        hints = typing.get_type_hints(receiver)
    except (NameError, TypeError, AttributeError):  # a hint that only a type checker can follow
        hints = {}
    if not dataclasses.is_dataclass(receiver):
        parameters = inspect.signature(receiver).parameters.values()
        named = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        return {name: hints.get(name, Any) for name in named}
    taken = {field.name: hints.get(field.name, Any) for field in dataclasses.fields(receiver) if field.init}
    for field in dataclasses.fields(receiver):
        if "const" in field.metadata and field.init:  # what the bare switch stands for on a command line: fsdp: true
            taken[field.name] = Union[Literal[field.metadata["const"]], taken[field.name]]  # noqa: UP007
    return taken


def checked(options: Mapping[str, Any], receiver: Any) -> tuple[dict[str, Any], list[Fault]]:
    """Return the options as the receiver's types want them, and what is wrong with the others.

    Text is not taken for a number or a switch, except for a number such as ``1e-5``, which readers of YAML 1.1 take for
    text: a whole number where a float is wanted stays one, and ``1e3`` is taken where a whole number is wanted.

    Args:
        options: plain data, as a YAML file gives it.
        receiver: a dataclass or a function.

    Example:
        >>> def build(tau: float = 0.8, rule: Literal["code", "paper"] = "code", both: bool = False): ...
        >>> checked({"tau": 1, "both": True}, build)
        ({'tau': 1, 'both': True}, [])
        >>> for fault in checked({"tau": "high", "rule": "papr", "both": "no"}, build)[1]:
        ...     print(fault)
        tau: must be a number, got 'high'
        rule: must be one of code, paper, got 'papr'; did you mean 'paper'?
        both: must be true or false, got 'no', which is text in YAML; write false
    """
    hints, taken, faults = hints_of(receiver), {}, []
    for key, value in options.items():
        if key not in hints:
            faults.append(Fault(str(key), "unknown key" + nearest(str(key), hints)))
            continue
        try:
            taken[key] = converted(value, hints[key])
        except ConfigError as error:
            faults.append(Fault(key, str(error)))
    return taken, faults


def arguments(given: Mapping[str, Any], function: Callable[..., Any], owner: str) -> dict[str, Any]:
    """Return the arguments for a function, as its types want them.

    Raises:
        ConfigError: a parameter that the function does not have, or a value of another type; names ``owner``.
    """
    taken, faults = checked(given, function)
    if faults:
        known = ", ".join(hints_of(function))
        unknown = next((fault for fault in faults if fault.key not in hints_of(function)), None)
        if unknown is not None:
            hint = nearest(unknown.key, hints_of(function))
            raise ConfigError(f"{owner}: no parameter {unknown.key!r}; there are {known}{hint}")
        raise ConfigError(f"{owner}: {'; '.join(map(str, faults))}")
    return taken


def converted(value: Any, hint: Any) -> Any:
    """Return a value as a type hint wants it.

    Raises:
        ConfigError: the value is of another type; the message says what is allowed.
    """
    try:
        return _as(hint, value)
    except ValueError as error:
        raise ConfigError(_said(value, hint)) from error


def _as(hint: Any, value: Any) -> Any:
    """Return the value for a hint, or raise ValueError; a hint that cannot be checked takes everything."""
    if hint in _LEAVES:
        return _LEAVES[hint](value)
    if choices := _choices(hint):
        return _one_of(choices, value)
    origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return _first_that_takes(_parts(hint), value)
    if origin in _CONTAINERS:
        return _all_as(_CONTAINERS[origin], inner, value)
    if hint is None or hint is type(None):
        fits = value is None
    elif origin is collections.abc.Callable:
        fits = callable(value)
    else:
        checkable = isinstance(hint, type) and hint is not Any and not getattr(hint, "_is_protocol", False)
        fits = not checkable or isinstance(value, hint)
    if not fits:
        raise ValueError
    return value


def _first_that_takes(hints: Iterable[Any], value: Any) -> Any:
    for hint in hints:
        with contextlib.suppress(ValueError):
            return _as(hint, value)
    raise ValueError


def _all_as(kind: type, inner: tuple[Any, ...], value: Any) -> Any:
    """Return a list, a tuple or a dict whose entries are as the hints in its brackets want them."""
    if kind is dict:
        if not isinstance(value, Mapping):
            raise ValueError
        return {_as(inner[0], k): _as(inner[1], v) for k, v in value.items()} if inner else value
    if not isinstance(value, list | tuple):
        raise ValueError
    if kind is tuple and inner and inner[-1] is not Ellipsis:
        return tuple(_as(hint, item) for hint, item in zip(inner, value, strict=True))
    items = [_as(inner[0], item) for item in value] if inner else list(value)
    return tuple(items) if kind is tuple or isinstance(value, tuple) else items


def _parts(hint: Any) -> tuple[Any, ...]:
    """Return the members of a union; text beside an enumeration is one of its values, so plain text is left out."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (Union, types.UnionType) else (hint,)
    of_enum = any(isinstance(part, type) and issubclass(part, enum.Enum) for part in parts)
    return tuple(part for part in parts if not (of_enum and part is str))


def _choices(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) is Literal:
        return typing.get_args(hint)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return tuple(member.value for member in hint)
    return ()


def _one_of(choices: tuple[Any, ...], value: Any) -> Any:
    plain = value.value if isinstance(value, enum.Enum) else value
    for choice in choices:
        if type(choice) is type(plain) and choice == plain:
            return value
        # PEFT's pissa_niter_[number of iters] stands for a family.
        family = re.escape(choice).split(r"\[") if isinstance(choice, str) and "[" in choice else []
        if family and isinstance(plain, str) and re.fullmatch(f"{family[0]}.+", plain):
            return value
    raise ValueError


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError
    return value


def _number(value: Any) -> float | int:
    """Return a number that a float can hold; NaN is none."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?\d+[eE][-+]?\d+", value):
        value = float(value) if math.isfinite(float(value)) else value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    try:
        fits = not math.isnan(value)
    except OverflowError:
        fits = False
    if not fits:
        raise ValueError
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


_LEAVES: dict[Any, Callable[[Any], Any]] = {bool: _switch, int: _whole, float: _number, str: _text}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def _said(value: Any, hint: Any) -> str:
    """Return what a type hint allows, and what was found instead."""
    allowed = list(dict.fromkeys(_described(hint)))
    several = len(allowed) > 1
    text = f"must be {', '.join(allowed[:-1])}{' or ' if several else ''}{allowed[-1]}, got {value!r:.200}"
    if isinstance(value, str):
        leaves = set(_leaves(hint))
        if bool in leaves and value.lower() in _SWITCHES:
            word = "true" if _SWITCHES[value.lower()] else "false"
            return f"{text}, which is text in YAML; write {word}"
        if leaves & {int, float} and _reads_as_number(value):
            return f"{text}, which is text; write it without quotes, as {float(value):g}"
        return text + nearest(value, _names(hint))
    if isinstance(value, int | float) and str in _leaves(hint):
        return f"{text}; put it in quotes if it is meant as text"
    return text


def _described(hint: Any) -> Iterable[str]:
    if hint in _WORDS:
        yield _WORDS[hint]
    elif choices := _choices(hint):
        shown = [str(choice) for choice in choices[:_MOST_SHOWN]]
        rest = len(choices) - len(shown)
        yield f"one of {', '.join(shown)}{f' and {rest} more' if rest else ''}"
    elif hint is None or hint is type(None):
        yield "null"
    elif len(_parts(hint)) > 1 or typing.get_origin(hint) in (Union, types.UnionType):
        for part in _parts(hint):
            yield from _described(part)
    else:
        yield _of_a_kind(hint)


def _of_a_kind(hint: Any) -> str:
    origin = typing.get_origin(hint) or hint
    inner = [part for part in typing.get_args(hint) if part is not Ellipsis]
    if _CONTAINERS.get(origin) is dict:
        what = next(iter(_described(inner[1])), "") if len(inner) > 1 and inner[1] is not Any else ""
        return f"keys with values{f', each {what}' if what else ''}"
    if origin in _CONTAINERS:
        what = " or ".join(_described(inner[0])) if inner and inner[0] is not Any else ""
        return f"a list{f', of which each is {what}' if what else ''}"
    if origin is collections.abc.Callable:
        return "a function, which only Python code can give"
    return getattr(hint, "__name__", str(hint))


def _leaves(hint: Any) -> list[Any]:
    return [part for part in _parts(hint) if part in _LEAVES]


def _names(hint: Any) -> list[str]:
    return [str(choice) for part in _parts(hint) for choice in _choices(part)]


def _reads_as_number(value: str) -> bool:
    try:
        return math.isfinite(float(value.replace("_", "")))
    except ValueError:
        return False

"""What the sections of a run's configuration have in common."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from concord.core.errors import ConfigError, nearest

Count = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, Field(min_length=1)]
Size = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(given: Any) -> Any:
    """A duration in seconds: ``5s``, ``500ms``, ``2m``, ``1h``, or a number of seconds.

    Raises:
        ConfigError: text that is none of these.

    Example:
        >>> seconds("500ms"), seconds("2m"), seconds(3)
        (0.5, 120.0, 3)
    """
    if not isinstance(given, str):
        return given
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*(ms|s|m|h)", given.strip())
    if match is None:
        raise ConfigError(f"{given!r} is no duration; write 5s, 500ms, 2m or a number of seconds")
    return float(match[1]) * _UNITS[match[2]]


Duration = Annotated[float, BeforeValidator(seconds), Field(strict=True)]


class Section(BaseModel):
    """A mapping with a fixed set of keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _know_keys(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and cls.model_config["extra"] == "forbid":
            for key in value:
                if key not in cls.model_fields:
                    raise unknown_key(key, cls.model_fields)
        return value


def at_key(key: object, text: str) -> PydanticCustomError:
    """A fault of one key, to be raised within a validator of its section."""
    return PydanticCustomError("at_key", "{text}", {"key": str(key), "text": text})


def unknown_key(key: object, known: Iterable[str]) -> PydanticCustomError:
    """A key that is not there, with the nearest that is."""
    return at_key(key, "unknown key" + nearest(str(key), known))


def check_fields(options: Mapping[str, Any], owner: type[Any]) -> None:
    """Refuse an option that a dataclass of another library, ``trl.GRPOConfig`` for one, has no field for."""
    known = [field.name for field in dataclasses.fields(owner) if field.init]
    for key in options:
        if key not in known:
            raise unknown_key(key, known)


def faults(error: ValidationError) -> str:
    """What is wrong, each with the key where it is; several stand on a line each."""
    found = [_described(detail) for detail in error.errors()]
    return "\n  ".join(["", *found] if len(found) > 1 else found)


def _described(detail: ErrorDetails) -> str:
    where = [str(part) for part in detail["loc"]]
    if detail["type"] == "at_key":
        where.append(detail["ctx"]["key"])
    if detail["type"] == "missing":
        return f"{'.'.join(where)}: is required and not there"
    text = detail["msg"].removeprefix("Value error, ")
    given = f" (got {detail['input']!r})" if detail["type"] not in ("at_key", "value_error") else ""
    return f"{'.'.join(where)}: {text}{given}"

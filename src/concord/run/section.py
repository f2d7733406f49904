"""What the sections of a run's configuration have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from concord.core.errors import nearest

Count = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, Field(min_length=1)]
Size = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]


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
    try:
        found = [_described(detail) for detail in error.errors()]
    except UnicodeEncodeError as wrong:  # pydantic writes its messages as UTF-8
        return f"{wrong.object!r:.80} holds half of a surrogate pair, which is no text"
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

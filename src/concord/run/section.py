"""What the sections of a run's configuration have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from concord.core.errors import nearest

Count = Annotated[int, Field(strict=True, ge=1)]
Text = Annotated[str, Field(min_length=1)]


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

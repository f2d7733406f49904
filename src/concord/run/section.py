"""What the sections of a run's configuration have in common."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from concord.core.errors import ConfigError, nearest
from concord.core.redaction import redacted
from concord.core.safe_yaml import Document, read_file
from concord.core.typed_options import Fault, checked
from concord.run.overrides import Override, apply_overrides

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


def typed(options: Mapping[str, Any], receiver: Any) -> dict[str, Any]:
    """Return options as their receiver's types want them, ``trl.GRPOConfig`` for one; for validators of a section.

    Raises:
        PydanticCustomError: an unknown key, or a value of another type; all of them are told.
    """
    taken, wrong = checked(options, receiver)
    if wrong:
        raise PydanticCustomError("at_keys", "{text}", {"faults": wrong, "text": "; ".join(map(str, wrong))})
    return taken


class WholeConfig(Section):
    """A configuration as a file holds it; what is written of it has no secrets."""

    @model_serializer(mode="wrap")
    def _without_secrets(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        without: dict[str, Any] = redacted(handler(self))
        return without


Whole = TypeVar("Whole", bound=WholeConfig)


def load(
    kind: type[Whole],
    file: Path,
    folder: Path,
    overrides: Sequence[str],
    resolve: Callable[[dict[str, Any], Path], None],
) -> Whole:
    """Return the configuration of a file, with overrides, checked.

    Args:
        kind: the configuration's class.
        file: YAML.
        folder: where the relative paths of the file start; those in overrides start at the working directory.
        overrides: ``key.sub=value`` each, later ones win.
        resolve: makes the paths in a configuration absolute, in place.

    Raises:
        ConfigError: not YAML, or a value that does not fit; with file, line and key.
    """
    document = read_file(file)
    raw = document.value
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: holds {raw!r:.200}, not keys and values")
    if isinstance(raw.get("method"), str):
        raw["method"] = {"name": raw["method"]}  # so that method.tau=0.5 has somewhere to go
    try:
        resolve(raw, folder)
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from error
    given = apply_overrides(raw, overrides, lambda value: resolve(value, Path.cwd()))
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(f"{file}{_told(error, document, given)}") from error
    except UnicodeEncodeError as wrong:  # pydantic writes its messages as UTF-8
        raise ConfigError(f"{file}: {wrong.object!r:.80} holds half of a surrogate pair, which is no text") from None


def _told(error: ValidationError, document: Document, overrides: Sequence[Override]) -> str:
    """Return what is wrong, each with its key and the line where it is; several stand on a line each."""
    found = [fault for detail in error.errors() for fault in _described(detail)]
    lines = [_line(place, document, overrides) for place, _ in found]
    texts = [f"{'.'.join(place)}: {text}" for place, text in found]
    if len(found) == 1:
        return f":{lines[0]}: {texts[0]}" if lines[0] else f": {texts[0]}"
    numbered = (f"line {line}: {text}" if line else text for line, text in zip(lines, texts, strict=True))
    return "\n  ".join([":", *numbered])


def _line(place: tuple[str, ...], document: Document, overrides: Sequence[Override]) -> int | None:
    """Return a line of the file, or None where an override has set the value, or there is none."""
    if any(place[: len(override.keys)] == override.keys[: len(place)] for override in overrides):
        return None
    return document.line(place)


def _described(detail: ErrorDetails) -> list[tuple[tuple[str, ...], str]]:
    where = tuple(str(part) for part in detail["loc"])
    if detail["type"] == "at_keys":
        wrong: list[Fault] = detail["ctx"]["faults"]
        return [((*where, fault.key), fault.text) for fault in wrong]
    if detail["type"] == "at_key":
        where = (*where, *detail["ctx"]["key"].split("."))
    if detail["type"] == "missing":
        return [(where, "is required and not there")]
    text = detail["msg"].removeprefix("Value error, ")
    given = f" (got {detail['input']!r:.200})" if detail["type"] not in ("at_key", "value_error") else ""
    return [(where, f"{text}{given}")]

"""Where a configuration and the things that it names are on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.recipes.builtin import TASKS, builtin_task

BUILTIN = "builtin:"
DATA_FILES = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}
"""Suffixes of files that rows are read from, and the reader of ``datasets`` for each."""

Change = Callable[[str, Path], str]
"""Makes a path absolute, from the folder at which relative ones start."""


def shipped_recipes() -> dict[str, Path]:
    """The recipes that come with the package: name and file.

    Example:
        >>> "tool_calling" in shipped_recipes()
        True
    """
    folder = Path(__file__).parents[1] / "recipes"
    return {file.stem: file for file in sorted(folder.glob("*.yaml"))}


def find(path: str | Path) -> tuple[Path, Path]:
    """The file meant, and the folder at which its relative paths start.

    Raises:
        ConfigError: neither a file nor a recipe that ships.
    """
    given = Path(os.path.expanduser(path))  # Path.expanduser raises for a user who is not there
    if given.is_file():
        return given, given.absolute().parent
    recipes = shipped_recipes()
    # Only bare names and recipes/...: my_runs/tool_calling.yaml mistyped must not train something else.
    if given.stem in recipes and given.suffix in ("", ".yaml") and str(given.parent) in (".", "recipes"):
        return recipes[given.stem], Path.cwd()
    raise ConfigError(f"no file {given}{nearest(given.stem, recipes)}; recipes that ship: {', '.join(recipes)}")


def resolve(raw: dict[str, Any], folder: Path, table: Mapping[str, Change] | None = None) -> None:
    """Make the paths of a configuration absolute, in place; what is not a path stays as it is.

    ``$NAME`` and ``${NAME}`` in a path are what the environment says, ``$$`` is a dollar sign, and ``~`` is home.

    Args:
        raw: the configuration.
        folder: where relative paths start.
        table: what is done to the value of a key; None = :data:`PATHS`. A ``*`` stands for any key.

    Raises:
        ConfigError: a variable that is not set; names the key.
    """
    for pattern, change in (PATHS if table is None else table).items():
        for place, section, key in _matches(raw, pattern.split(".")):
            try:
                section[key] = change(_expanded(section[key]), folder)
            except ConfigError as error:
                raise ConfigError(f"{place}: {error}") from error


def unresolved(raw: dict[str, Any], table: Mapping[str, Change] | None = None) -> dict[str, Any]:
    """Return a configuration whose paths :func:`resolve` takes as they are: each ``$`` becomes ``$$``, in place."""
    for pattern in PATHS if table is None else table:
        for _, section, key in _matches(raw, pattern.split(".")):
            section[key] = escaped(section[key])
    return raw


def escaped(path: str) -> str:
    """Return a path as a configuration writes it.

    Example:
        >>> escaped("/data/cost$")
        '/data/cost$$'
    """
    return path.replace("$", "$$")


def model_source(model: str) -> str:
    """What ``from_pretrained`` takes: a folder, or an id on the hub.

    Raises:
        ConfigError: an absolute path to no folder, or an unknown builtin.
    """
    if model.startswith(BUILTIN):
        task, _, seed = model.removeprefix(BUILTIN).partition("/seed")
        if task not in TASKS or not seed.isdecimal():
            known = " or ".join(f"{BUILTIN}{name}/seed0" for name in TASKS)
            raise ConfigError(f"model: {model!r} does not ship; write {known}")
        try:
            return str(builtin_task(task).base_model_path(int(seed)))
        except ValueError as error:
            raise ConfigError(f"model: {model!r}: {error}") from error
    if Path(model).is_absolute() and not Path(model).is_dir():
        raise ConfigError(f"model: no folder {model}")
    return model


def _matches(raw: Any, keys: Sequence[str], place: str = "") -> list[tuple[str, dict[str, Any], str]]:
    """Return where paths stand under the keys: the place in words, the section and the last key."""
    if not isinstance(raw, dict):
        return []
    head, *rest = keys
    names = [name for name in (raw if head == "*" else [head]) if name in raw]
    if not rest:
        return [(f"{place}{name}", raw, name) for name in names if _may_be_path(name, raw)]
    return [match for name in names for match in _matches(raw[name], rest, f"{place}{name}.")]


def _may_be_path(key: str, section: Mapping[str, Any]) -> bool:
    value = section[key]
    if not isinstance(value, str) or not value:
        return False
    if key == "chat_template":  # a path, or the text of the template itself
        return value.endswith(".jinja")
    return key != "model" or section.get("url") is None  # else the name that its server knows it by


def _expanded(value: str) -> str:
    try:
        return Template(value).substitute(os.environ)
    except KeyError as error:
        raise ConfigError(f"the environment has no variable {error.args[0]}, which {value!r} names") from error
    except ValueError as error:
        raise ConfigError(f"{value!r} has a $ without a variable's name; write $$ for a dollar sign") from error


def _absolute(value: str, folder: Path) -> str:
    return os.path.abspath(folder / os.path.expanduser(value))  # symbolic links stay: their targets may have no suffix


def _is_path(value: str) -> bool:
    """Written as a path, and not as an id on the hub."""
    return value.startswith(("/", "~", "./", "../")) or Path(value).is_absolute()


def _model(value: str, folder: Path) -> str:
    return _absolute(value, folder) if _is_path(value) or (folder / value).is_dir() else value


def _data(value: str, folder: Path) -> str:
    if value.startswith(BUILTIN):
        return value
    return _absolute(value, folder) if _is_path(value) or Path(value).suffix in DATA_FILES else value


def _function(value: str, folder: Path) -> str:
    source, colon, function = value.rpartition(":")
    return f"{_absolute(source, folder)}:{function}" if colon and source.endswith(".py") else value


_ROWS: dict[str, Change] = {"path": _data, "reader": _function}
_REWARDS: dict[str, Change] = {
    "path": _function,
    "model": _model,
    "options.chat_template": _absolute,
    "judge.model": _model,
    "judge.cache": _absolute,
}

PATHS: dict[str, Change] = {
    "model": _model,
    "out": _absolute,
    "columns.*": _function,
    **{f"data.{key}": change for key, change in _ROWS.items()},
    **{f"data.eval.{key}": change for key, change in _ROWS.items()},
    **{f"rewards.*.{key}": change for key, change in _REWARDS.items()},
    **{f"evaluations.*.sets.*.{key}": change for key, change in _ROWS.items()},
    **{f"evaluations.*.rewards.*.{key}": change for key, change in _REWARDS.items()},
}
"""The values of a run's configuration that are paths."""

REWARD_MODEL_PATHS: dict[str, Change] = {
    "model": _model,
    "out": _absolute,
    "chat_template": _absolute,
    "data.*.*.path": _data,
    "objectives.*.dir.*.path": _function,
}
"""The values of a reward model's configuration that are paths."""

"""Where a configuration and the things that it names are on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.recipes.builtin import TASKS, builtin_task

BUILTIN = "builtin:"
DATA_FILES = {".parquet": "parquet", ".json": "json", ".jsonl": "json"}
"""Suffixes of files that rows are read from, and the reader of ``datasets`` for each."""


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


def resolve(raw: dict[str, Any], folder: Path) -> None:
    """Make the relative paths of a configuration absolute, in place; what is not a path stays as it is."""
    data, rewards = raw.get("data"), raw.get("rewards")
    _edit(raw, "model", lambda value: _model(value, folder))
    _edit(raw, "out", lambda value: _absolute(value, folder))
    for rows in (data, data.get("eval") if isinstance(data, dict) else None):
        _edit(rows, "path", lambda value: _data(value, folder))
        _edit(rows, "reader", lambda value: _function(value, folder))
    columns = raw.get("columns")
    for name in columns if isinstance(columns, dict) else ():
        _edit(columns, name, lambda value: _function(value, folder))
    for reward in _sections(rewards):
        _edit(reward, "path", lambda value: _function(value, folder))
        _edit(reward, "model", lambda value: _model(value, folder))
    for evaluation in _sections(raw.get("evaluations")):
        for rows in _sections(evaluation.get("sets")):
            resolve({"data": rows}, folder)
        resolve({"rewards": evaluation.get("rewards")}, folder)


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


def _sections(of: Any) -> list[dict[str, Any]]:
    return [section for section in of.values() if isinstance(section, dict)] if isinstance(of, dict) else []


def _edit(section: Any, key: str, change: Callable[[str], str]) -> None:
    if isinstance(section, dict) and isinstance(value := section.get(key), str) and value:
        section[key] = change(value)


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

"""The tasks that ship: rows made as asked for, rewards, and a base model each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

TASKS = ("tool_task", "arithmetic_task")


class Task(Protocol):
    """What the package of a built-in task offers beside its rewards."""

    rows: Callable[[str, int, int], list[dict[str, Any]]]
    base_model_path: Callable[[int], Path]


def builtin_task(name: str) -> Task:
    """The task of that name, one of ``TASKS``.

    Example:
        >>> builtin_task("tool_task").rows("train", 1, 0)[0]["prompt"][0]["role"]
        'user'
    """
    return cast(Task, import_module(f"concord.recipes.{name}"))


def base_model(folder: Path, seed: int) -> Path:
    """The base model that was made with a seed, among those in a folder.

    Raises: ValueError for a seed that does not ship.
    """
    path = folder / f"seed{seed}"
    if not path.is_dir():
        shipped = ", ".join(sorted(child.name.removeprefix("seed") for child in folder.glob("seed*")))
        raise ValueError(f"no base model with seed {seed}; these seeds ship: {shipped}")
    return path

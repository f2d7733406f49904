"""Where scores come from: a function, how it is called, and how long it may take."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.util
import inspect
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from concord.core.errors import ConfigError, nearest


@dataclass(frozen=True)
class Limits:
    """How long a reward function may take, and how much of it goes on at once.

    A function with a time limit or workers runs in processes of its own, which are killed when time is up.

    Attributes:
        timeout: seconds for one call; None = no limit.
        batch_timeout: seconds for all calls about one batch; None = no limit.
        workers: processes; None = one if there is a time limit, else none.
        concurrency: calls of a coroutine function that are under way at once, in each process.
        batch_size: completions a call is about, where a call is about many; None = the whole batch.

    Raises:
        ConfigError: a value that is not positive.
    """

    timeout: float | None = None
    batch_timeout: float | None = None
    workers: int | None = None
    concurrency: int = 32
    batch_size: int | None = None

    def __post_init__(self) -> None:
        for name, kind, what in (
            ("timeout", int | float, "number of seconds"),
            ("batch_timeout", int | float, "number of seconds"),
            ("workers", int, "whole number"),
            ("concurrency", int, "whole number"),
            ("batch_size", int, "whole number"),
        ):
            value = getattr(self, name)
            if value is None and name != "concurrency":
                continue
            if isinstance(value, bool) or not isinstance(value, kind) or not 0 < value < math.inf:
                raise ConfigError(f"{name} must be a positive {what}, got {value!r}")

    @property
    def apart(self) -> bool:
        """Whether the function is to run in processes of its own."""
        return (self.timeout, self.batch_timeout, self.workers) != (None, None, None)


@dataclass(frozen=True)
class Source:
    """A reward function and how it is called; rewards of equal sources share its calls.

    Attributes:
        target: the function; or what the form makes one of (ms-swift's classes, verifiers' rubrics).
        path: where it is found, ``file.py:name`` or ``package.module:name``; None = wherever it was defined.
        form: the framework whose signature it has, or which of its parameters gets what, as ``{"prompt": "question",
            "response": "action"}``; None = read from its parameters' names.
        options: further keyword arguments, the same at every call.
        limits: see :class:`Limits`.
        group_relative: whether its scores depend on the other completions of its batch, on purpose.

    Raises:
        ConfigError: ``group_relative`` with a ``batch_size``, which would cut groups apart.
    """

    target: Any
    path: str | None = None
    form: str | Mapping[str, str] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    group_relative: bool = False

    def __post_init__(self) -> None:
        if self.group_relative and self.limits.batch_size is not None:
            raise ConfigError(
                "batch_size would cut the groups apart that a group-relative reward compares; leave it out"
            )

    def importable(self) -> str:
        """The path under which another process finds the target.

        Raises:
            ConfigError: there is none, as for a lambda or a function within a function.
        """
        if self.path is not None:
            return self.path
        function = self.target if hasattr(self.target, "__qualname__") else type(self.target)
        module, name = function.__module__, function.__qualname__
        if module != "__main__" and "." not in name and getattr(sys.modules.get(module), name, None) is self.target:
            return f"{module}:{name}"
        raise ConfigError(
            f"{self.target!r} cannot be run in a process of its own, as time limits and workers need: define it at the "
            "top of a file and name it by its path, file.py:function"
        )

    @property
    def place(self) -> str | None:
        """Where the target is defined, ``file:line in name``; None where nobody knows."""
        target = self._defined()
        try:
            file, (_, line) = inspect.getsourcefile(target), inspect.getsourcelines(target)
        except (TypeError, OSError):
            return None
        return f"{file}:{max(line, 1)} in {target.__name__}"

    def _defined(self) -> Any:
        """The function or class that the target comes from."""
        target = self.target
        while isinstance(target, functools.partial):
            target = target.func
        target = inspect.unwrap(target) if callable(target) else target
        return target if inspect.isroutine(target) or inspect.isclass(target) else type(target)

    def code(self) -> dict[str, str]:
        """The file that the target is defined in, and the SHA-256 of its bytes; empty where there is no file."""
        target = self._defined()
        try:
            file = inspect.getsourcefile(target)
            content = Path(file).read_bytes() if file else None
        except (TypeError, OSError):
            return {}
        return {} if file is None or content is None else {"file": file, "sha256": hashlib.sha256(content).hexdigest()}


def find(path: str) -> Any:
    """Import what ``file.py:name`` or ``package.module:name`` names.

    A file is run once, whatever the number of names taken from it, and may import the files beside it. One that has
    relative imports is run as the module of its package. It is code of yours, run with your rights.

    Raises:
        ConfigError: the path has not that form, there is no such file, module or name, or the import fails.
    """
    source, colon, attribute = path.rpartition(":")
    if not (colon and source and attribute):
        raise ConfigError(f"{path!r} names no function; write file.py:function or package.module:function")
    module = _from_file(Path(source)) if source.endswith(".py") else _from_module(source)
    if not hasattr(module, attribute):
        public = [known for known, value in vars(module).items() if callable(value)]
        raise ConfigError(f"{source} has no function {attribute!r}" + nearest(attribute, public))
    return getattr(module, attribute)


def _from_file(path: Path) -> ModuleType:
    path = Path(os.path.realpath(os.path.expanduser(path)))
    if not path.is_file():
        raise ConfigError(f"no file {path}")
    # The digest keeps apart two files of one name in different folders.
    module_name = f"concord_reward_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    if _is_relative(path):
        return _of_package(path)
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[module_name] = module  # before it runs: dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        raise ConfigError(f"{path} fails on import: {type(error).__name__}: {error}") from error
    return module


def _is_relative(path: Path) -> bool:
    """Whether a file imports from its own package, as in ``from .util import f``."""
    try:
        nodes = ast.walk(ast.parse(path.read_bytes()))
        return any(isinstance(node, ast.ImportFrom) and node.level for node in nodes)
    except (OSError, SyntaxError, ValueError, RecursionError):  # which the import itself says better
        return False


def _of_package(path: Path) -> ModuleType:
    """A file with relative imports, as the module of the package that it belongs to."""
    names, root = [path.stem], path.parent
    while (root / "__init__.py").is_file() and root.parent != root:
        names.append(root.name)
        root = root.parent
    dotted = ".".join(reversed(names))
    if len(names) == 1 or not all(name.isidentifier() for name in names):
        raise ConfigError(
            f"{path} has relative imports and belongs to no package: put an __init__.py beside it, or write its "
            "imports without dots"
        )
    if str(root) not in sys.path:
        sys.path.append(str(root))
    module = _from_module(dotted)
    if Path(module.__file__ or "").resolve() != path:
        raise ConfigError(
            f"{path} has relative imports, and another module has the name {dotted}, {module.__file__}; install its "
            f"package and write {dotted}:function"
        )
    return module


def _from_module(source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(error.name + ".")):
            raise ConfigError(
                f"no module {source!r}; install its package, or name a file: "
                f"path/to/{source.rpartition('.')[2]}.py:function"
            ) from error
        raise ConfigError(f"{source} fails on import: {error}") from error
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{source} fails on import: {type(error).__name__}: {error}") from error

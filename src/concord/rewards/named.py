"""A reward with its name and weight, and how to find its function."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from concord.core.errors import ConfigError, DuplicateName, nearest


@dataclass(frozen=True)
class NamedReward:
    """A reward function, the name its scores go under, and what they count for.

    Attributes:
        name: the reward's name in metrics, tables and dumps.
        function: in TRL's signature, ``f(prompts, completions, completion_ids, **columns) -> list``,
            called by keyword; plain or async. A score is a number, or None where the reward abstains.
        weight: its factor in the sum of rewards; any finite number.

    Raises:
        ConfigError: an empty name, a function that cannot be called, a weight that is not a finite number.
    """

    name: str
    function: Callable[..., Any]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError("a reward needs a name; it is what its metrics are logged under")
        if not callable(self.function):
            raise ConfigError(
                f"reward {self.name!r}: {self.function!r} is a {type(self.function).__name__}, not a function"
            )
        if isinstance(self.weight, bool) or not isinstance(self.weight, int | float):
            raise ConfigError(f"reward {self.name!r}: the weight must be a number, got {self.weight!r}")
        if not math.isfinite(self.weight):
            raise ConfigError(f"reward {self.name!r}: the weight must be finite, got {self.weight}")


def load(name: str, path: str, weight: float = 1.0) -> NamedReward:
    """Import a reward function from ``file.py:function`` or ``package.module:function``.

    A file is run once, whatever the number of functions taken from it, and may import the files beside it. It is
    code of yours, run with your rights.

    Raises:
        ConfigError: the path has not that form, there is no such file, module or function, the import fails,
            or as :class:`NamedReward`.

    Example:
        >>> load("length", "concord.rewards.toolrl:length", weight=0.5).weight
        0.5
    """
    source, colon, attribute = path.rpartition(":")
    if not (colon and source and attribute):
        raise ConfigError(
            f"reward {name!r}: {path!r} names no function; write file.py:function or package.module:function"
        )
    module = _from_file(name, Path(source)) if source.endswith(".py") else _from_module(name, source)
    if not hasattr(module, attribute):
        public = [known for known, value in vars(module).items() if callable(value)]
        raise ConfigError(f"reward {name!r}: {source} has no function {attribute!r}" + nearest(attribute, public))
    return NamedReward(name, getattr(module, attribute), weight)


def check_distinct(rewards: Sequence[NamedReward]) -> None:
    """Refuse two rewards of one name: they would share one column and one curve.

    Raises:
        DuplicateName: naming them.
    """
    twice = [name for name, count in Counter(reward.name for reward in rewards).items() if count > 1]
    if twice:
        raise DuplicateName(f"reward names must differ; used more than once: {', '.join(map(repr, twice))}")


def _from_file(name: str, path: Path) -> ModuleType:
    path = path.expanduser().resolve()
    if not path.is_file():
        raise ConfigError(f"reward {name!r}: no file {path}")
    # The digest keeps apart two files of one name in different folders.
    module_name = f"concord_reward_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None  # the suffix is .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    sys.modules[module_name] = module  # before it runs: dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_name]
        raise ConfigError(f"reward {name!r}: {path} fails on import: {type(error).__name__}: {error}") from error
    return module


def _from_module(name: str, source: str) -> ModuleType:
    try:
        return importlib.import_module(source)
    except ModuleNotFoundError as error:
        if error.name is not None and (source == error.name or source.startswith(error.name + ".")):
            raise ConfigError(
                f"reward {name!r}: no module {source!r}; install its package, or name a file: "
                f"path/to/{source.rpartition('.')[2]}.py:function"
            ) from error
        raise ConfigError(f"reward {name!r}: {source} fails on import: {error}") from error
    except Exception as error:
        raise ConfigError(f"reward {name!r}: {source} fails on import: {type(error).__name__}: {error}") from error

"""How a worker process begins: with Concord's packages, but without torch, which their ``__init__`` would bring.

Of ``concord``, ``concord.core`` and ``concord.rewards`` a worker needs a few small modules, and so do most reward
functions. Here a package begins empty, its submodules can be imported, and its ``__init__`` runs when something else
is asked of it. So a worker is ready in tenths of a second, not in seconds, each time that one has to be replaced, and
takes a tenth of the memory. This file is run by its path, and imports nothing of Concord's before that is arranged.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


class Deferred(ModuleType):
    """A package whose ``__init__`` has not run yet."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]  # from here on an ordinary package
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def defer(name: str, folder: Path) -> None:
    """Put a package into ``sys.modules`` as :class:`Deferred`, and into its parent, which has been put there before."""
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None  # there is such a file
    module = importlib.util.module_from_spec(spec)
    module.__class__ = Deferred
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent:
        setattr(sys.modules[parent], child, module)


def main() -> None:
    """Serve the pool that started this process; the one argument says how to reach it and what to import from."""
    descriptor, parent, sys.path[:] = json.loads(sys.argv.pop())
    concord = Path(__file__).parents[2]
    for package in ("concord", "concord.core", "concord.rewards"):
        defer(package, concord.joinpath(*package.split(".")[1:]))
    from concord.rewards.runners.worker import serve

    serve(descriptor, parent)


if __name__ == "__main__":
    main()

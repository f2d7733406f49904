"""The tree keeps its promises: imports point one way, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "concord"
FILES = sorted(SRC.rglob("*.py"))

# A room may import itself and the rooms named here. What is not listed is not allowed.
ROOMS: dict[str, set[str]] = {
    "core": set(),
    "functional": {"core"},
    "stages": {"core", "functional"},
    "objectives": {"core", "functional"},
    "learners": {"core", "functional"},
    "methods": {"core", "functional", "stages", "objectives", "learners"},
    "rewards": {"core", "functional"},
    "strategies": {"core", "functional", "rewards"},
    "dumps": {"core"},
    "report": {"core", "functional", "stages", "objectives", "methods", "dumps"},
    "engines": {"core", "functional", "stages", "objectives", "learners", "methods", "rewards", "strategies", "dumps"},
    "recipes": {"core", "rewards"},
    "run": {
        "core",
        "functional",
        "stages",
        "objectives",
        "methods",
        "rewards",
        "dumps",
        "report",
        "engines",
        "recipes",
    },
    "bench": {
        "core",
        "functional",
        "stages",
        "objectives",
        "methods",
        "rewards",
        "report",
        "engines",
        "recipes",
    },
    "reward_models": {"core", "functional", "learners", "rewards", "engines", "run"},
    "cli": {
        "bench",
        "core",
        "methods",
        "stages",
        "objectives",
        "rewards",
        "reward_models",
        "dumps",
        "report",
        "engines",
        "recipes",
        "run",
    },
}
ENGINES = {"trl", "verl", "slime"}
HEAVY = ["trl", "transformers", "datasets", "accelerate", "peft", "pyarrow", "matplotlib", "plotly", "pandas", "typer"]


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_imports_point_one_way(path: Path) -> None:
    parts = path.relative_to(SRC).parts
    room = parts[0] if len(parts) > 1 else None
    for module in imports(path):
        names = module.split(".")
        if names[0] == "concord" and len(names) > 1 and room is not None:
            assert names[1] in ROOMS[room] | {room}, f"{room} must not import {module}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_only_engines_import_an_engine(path: Path) -> None:
    if path.relative_to(SRC).parts[0] not in ("engines", "run", "reward_models"):
        assert not ENGINES & {module.split(".")[0] for module in imports(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SRC)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 800
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{node.name} has {lines} lines"


def test_importing_concord_brings_torch_and_nothing_heavier() -> None:
    code = f"import sys, concord; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


PICKLES = SRC / "rewards" / "runners" / "packing.py"
"""What goes between a process and the workers that it started itself."""


def test_nothing_is_unpickled_or_evaluated() -> None:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert called != "pickle.Unpickler" or path == PICKLES, path
            assert called not in {"eval", "exec", "pickle.load", "pickle.loads", "yaml.load", "os.system"}, path

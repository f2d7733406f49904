"""Rows of preference data, from a file or the hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from concord.core.errors import ConfigError, MissingExtra, nearest
from concord.reward_models.config import SourceConfig
from concord.reward_models.forms import read_pairs
from concord.reward_models.pairs import Pairs
from concord.run.paths import DATA_FILES

_log = logging.getLogger(__name__)


def load_pairs(name: str, source: SourceConfig) -> Pairs:
    """The pairs that ``source`` describes; rows that hold no preference are left out, with a warning.

    Args:
        name: of the source, for messages.
        source: see there.

    Raises:
        ConfigError: no such file, data set or split, not what its suffix says, columns of no form, a broken row.
    """
    try:
        rows = [{source.columns.get(key, key): value for key, value in row.items()} for row in _read(source)]
        found = read_pairs(rows[: source.size], source.form)
    except ConfigError as error:
        raise ConfigError(f"{name}: {source.path}: {error}") from error
    for reason, count in found.left_out.items():
        _log.warning("%s: left out %d of %d rows: %s", name, count, len(rows[: source.size]), reason)
    return found


def _read(source: SourceConfig) -> list[dict[str, Any]]:
    path = Path(source.path)
    if path.suffix not in DATA_FILES:
        return _from_hub(source)
    if not path.is_file():
        beside = [other.name for other in path.parent.glob("*") if other.suffix in DATA_FILES]
        raise ConfigError("no such file" + nearest(path.name, beside))
    rows = _from_parquet(path) if path.suffix == ".parquet" else _from_json(path)
    return _slice(rows, source.split)


def _from_json(path: Path) -> list[dict[str, Any]]:
    """A list of objects, or an object a line; read without a schema, as PandaLM's columns are not of one type."""
    content = path.read_text(encoding="utf-8-sig")
    lines = content.splitlines()
    try:
        if path.suffix == ".json" and content.lstrip().startswith("["):
            rows = json.loads(content)
        else:
            rows = [json.loads(line) for line in lines if line.strip()]
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"is not JSON: {error}") from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ConfigError(f"row {number} is {row!r:.60}, not an object with keys")
    return list(rows)


def _from_parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    import pyarrow.parquet

    try:
        return list(pyarrow.parquet.read_table(path).to_pylist())
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"is not parquet: {error}") from error


def _from_hub(source: SourceConfig) -> list[dict[str, Any]]:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra.of("train", "datasets") from error
    try:
        return list(datasets.load_dataset(source.path, source.name, split=source.split))
    except Exception as error:  # whatever its readers raise
        raise ConfigError(f"cannot be loaded, split {source.split!r}: {type(error).__name__}: {error}") from error


def _slice(rows: list[dict[str, Any]], split: str) -> list[dict[str, Any]]:
    """The part of a file's rows that ``train[:80%]`` names."""
    if split == "train":
        return rows
    from datasets import ReadInstruction

    try:
        (part,) = ReadInstruction.from_spec(split).to_absolute({"train": len(rows)})
    except (AssertionError, ValueError) as error:
        raise ConfigError(
            f"split {split!r}: a file is one split, 'train'; write train, or a slice such as train[:80%]"
        ) from error
    return rows[part.from_ : part.to]

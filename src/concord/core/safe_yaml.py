"""YAML 1.2 by ruamel.yaml: plain values only, each key once, bounded in size, and every fault with its place.

YAML 1.1, which many readers have, takes ``no`` for false, ``1e-6`` for text and ``2026-01-02`` for a date. A learning
rate and ``save_strategy: no`` are everyday words of a training run, so scalars are those of the core schema of 1.2.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, SequenceNode
from ruamel.yaml.representer import SafeRepresenter
from ruamel.yaml.resolver import VersionedResolver

from concord.core.errors import ConfigError

LARGEST = 2**18
"""Characters of a document: a run has a few thousand."""

MOST_VALUES = 20_000
"""Values of a document, those that aliases stand for counted each time."""

DEEPEST = 50
"""Mappings and lists within each other, those that aliases stand for included."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    # 010 stays text: it is ten in YAML 1.2 and eight in 1.1.
    ("int", r"[-+]?(0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)
_PLAIN = {f"{_TAG}{name}" for name in ("map", "seq", "str", "bool", "null", "int", "float")}

Place = tuple[str, ...]
"""Keys and indices on the way to a value, as text."""


@dataclass(frozen=True)
class Document:
    """What a YAML text says, and on which line it says it.

    Attributes:
        value: dicts, lists, text, numbers, booleans and None. What an alias stands for is a copy.
        lines: by the way to a value, the line of its key, or of the item of a list.
    """

    value: Any
    lines: Mapping[Place, int]

    def line(self, place: Sequence[object]) -> int | None:
        """Return the line of a value, or of the nearest value around it; None where no line is known.

        Example:
            >>> read_document("seed: 0\\nengine: {max_steps: two}").line(("engine", "max_steps"))
            2
        """
        keys = tuple(map(str, place))
        return next((self.lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self.lines), None)


def read(text: str, name: str = "") -> Any:
    """Return the value of a YAML text.

    Raises:
        ConfigError: as :func:`read_document`.

    Example:
        >>> read("learning_rate: 1e-6")
        {'learning_rate': 1e-06}
    """
    return read_document(text, name).value


def read_file(path: Path) -> Document:
    """Return the document of a file.

    Raises:
        ConfigError: the file cannot be read, or as :func:`read_document`.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    return read_document(text, str(path))


def read_document(text: str, name: str = "") -> Document:
    """Return the document of a YAML text.

    Args:
        text: one document.
        name: of its file, for messages; empty = it came from elsewhere.

    Raises:
        ConfigError: not YAML, a key that stands twice, a tag that is not of plain data, or more than the limits of
            this module; the message has file, line and column.
    """
    where = f"{name}: " if name else ""
    if len(text) > LARGEST:
        raise ConfigError(f"{where}cannot be read as YAML: it has more than {LARGEST:,} characters")
    reader = _yaml()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)  # the specification lets an anchor be given anew
            node = reader.compose(io.StringIO(text))
        lines: dict[Place, int] = {}
        _find_lines(node, (), lines)
        value = None if node is None else reader.constructor.construct_document(node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"{mark.line + 1}:{mark.column + 1}"
        if name:
            where = f"{name}:{place}: " if place else where
        else:
            where = f"line {place}: " if place else ""
        raise ConfigError(f"{where}cannot be read as YAML: {error.problem or error.context}") from error
    except YAMLError as error:  # a character that YAML does not have
        raise ConfigError(f"{where}cannot be read as YAML: {' '.join(str(error).split())}") from error
    return Document(_copied(value), lines)


def write(value: Any) -> str:
    """Return the YAML text of plain values; :func:`read` gives them back."""
    writer: Any = _yaml()
    writer.allow_unicode = False  # some line breaks of Unicode are lost otherwise
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False
    text = io.StringIO()
    writer.dump(value, text)
    return text.getvalue().removesuffix("...\n")


def _yaml() -> YAML:
    made = YAML(typ="safe", pure=True)
    made.Resolver, made.Composer, made.Constructor = _CoreSchema, _BoundedComposer, _PlainConstructor
    made.Representer = _PlainRepresenter
    return made


def _by_first_character() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for name, pattern, first in _SCALARS:
        for character in first:
            found.setdefault(character, []).append((_TAG + name, re.compile(rf"(?:{pattern})\Z")))
    return found


class _CoreSchema(VersionedResolver):
    """Says which plain scalars are what, whatever version a document claims to be of."""

    processing_version = (1, 2)
    versioned_resolver = _by_first_character()


class _BoundedComposer(Composer):
    """Counts what aliases stand for while it reads, so that a few lines cannot stand for millions of values."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader=loader)
        self.values = self.level = self.deepest = 0
        self.sizes: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark, is_alias = self.parser.peek_event().start_mark, self.parser.check_event(AliasEvent)
        before, above = self.values, self.deepest
        self.values += 1
        self.level += 1
        self.deepest = self.level
        self._check(mark)
        node = super().compose_node(parent, index)
        if is_alias:
            if id(node) not in self.sizes:
                raise _fault("an alias stands within what it stands for", mark)
            values, height = self.sizes[id(node)]
            self.values = before + values
            self.deepest = self.level + height
            self._check(mark)
        else:
            self.sizes[id(node)] = self.values - before, self.deepest - self.level
        self.level -= 1
        self.deepest = max(above, self.deepest)
        return node

    def _check(self, mark: Any) -> None:
        if self.values > MOST_VALUES:
            raise _fault(f"more than {MOST_VALUES:,} values, with those that aliases stand for", mark)
        if self.deepest > DEEPEST:
            raise _fault(f"more than {DEEPEST} mappings and lists within each other", mark)


class _PlainConstructor(SafeConstructor):
    """Makes plain data and nothing else."""

    def construct_non_recursive_object(self, node: Any, tag: Any = None) -> Any:
        if str(node.tag) not in _PLAIN:
            raise _fault(f"the tag {str(node.tag)[:60]} is not one of plain data", node.start_mark)
        try:
            value = super().construct_non_recursive_object(node, tag)
        except (ValueError, KeyError, IndexError) as error:  # !!int two, or more digits than Python reads
            raise _fault(f"{str(node.value)[:40]!r} is not of the type {node.tag}", node.start_mark) from error
        if isinstance(value, float) and math.isinf(value) and "inf" not in node.value.lower():
            raise _fault(f"{node.value[:40]} is beyond the numbers of a computer; write .inf", node.start_mark)
        return value

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key in mapping:
            first = next(other for other, _ in node.value if other.value == key_node.value)
            lines = first.start_mark.line + 1, key_node.start_mark.line + 1
            raise _fault(f"the key {key!r} stands twice, on lines {lines[0]} and {lines[1]}", key_node.start_mark)
        return True


class _PlainRepresenter(SafeRepresenter):
    """Writes a value each time that it stands there: no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _fault(problem: str, mark: Any) -> ConstructorError:
    return ConstructorError(None, None, problem, mark)


def _find_lines(node: Any, place: Place, lines: dict[Place, int]) -> None:
    below: Iterable[tuple[Any, str, Any]] = ()
    if isinstance(node, MappingNode):
        below = ((key, key.value, item) for key, item in node.value)
    elif isinstance(node, SequenceNode):
        below = ((item, str(index), item) for index, item in enumerate(node.value))
    for at, name, item in below:
        if not isinstance(name, str):
            raise _fault("a key is one word or text, not a list or a mapping", at.start_mark)
        lines[(*place, name)] = at.start_mark.line + 1
        _find_lines(item, (*place, name), lines)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value

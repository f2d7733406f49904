"""YAML as people expect it: safe, each key once, and with the scalars of YAML 1.2.

PyYAML reads YAML 1.1, in which ``1e-6`` is text, ``no`` is false, ``1:30`` is ninety and ``2026-01-02`` a date.
A learning rate and ``save_strategy: no`` are everyday words of a training run, so the core schema of 1.2 is used
for reading and for writing.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.nodes import MappingNode

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own class attribute, made anew)

    def construct_mapping(self, node: MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == f"{_TAG}merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                continue
            line = key_node.start_mark.line + 1
            if key in lines:
                raise ConstructorError(
                    None, None, f"the key {key!r} stands twice, on lines {lines[key]} and {line}", key_node.start_mark
                )
            lines[key] = line
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _name, _pattern, _first in _SCALARS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), list(_first))


def read(text: str) -> Any:
    """The value of a YAML document; what an alias stands for is a copy, so that changing one changes no other.

    Raises:
        yaml.YAMLError: not YAML, a key that stands twice, a tag that would build a Python object; with the line.
        RecursionError: an alias within what it stands for.

    Example:
        >>> read("learning_rate: 1e-6")
        {'learning_rate': 1e-06}
    """
    loader = _Loader(text)
    try:
        return _copied(loader.get_single_data())
    finally:
        loader.dispose()


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def write(value: Any) -> str:
    """The YAML text of plain values; :func:`read` gives them back."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)  # ASCII: some line breaks of Unicode are lost otherwise

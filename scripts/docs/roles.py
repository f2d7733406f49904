"""An extension of griffe: the docstrings' Sphinx roles, backticks and examples in the form that it reads."""

from __future__ import annotations

import re
from typing import Any

import griffe

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`(~?)([^`]+)`")


class Roles(griffe.Extension):
    """Names in roles become links where the reference has them, and code where not."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = converted(obj.docstring.value, obj.module.path)


def converted(text: str, module: str) -> str:
    """One docstring, of a module whose own names need no path."""

    def shown(match: re.Match[str]) -> str:
        target = match[2] if match[2].startswith("concord.") else f"{module}.{match[2]}"
        label = match[2].rpartition(".")[2] if match[1] else match[2]
        return f'<autoref optional identifier="{target}"><code>{label}</code></autoref>'

    text = re.sub(r"^Example:$", "Examples:", ROLE.sub(shown, text).replace("``", "`"), flags=re.MULTILINE)
    return "\n\n".join(f"```text\n{block}\n```" if drawn(block) else block for block in text.split("\n\n"))


def drawn(block: str) -> bool:
    """Whether a paragraph is a tree or a table, by the gaps within its lines; what is indented is code already."""
    lines = block.splitlines()
    return not block.startswith(" ") and sum(bool(re.search(r"\S {3,}\S", line)) for line in lines) > 1

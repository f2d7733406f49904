"""The table of all methods, and their place in the navigation: by what they change."""

from __future__ import annotations

from typing import Any

from scripts.docs.method_page import KINDS, cell, verbatim

from concord.core.catalogue import info, names

MARK = "<!-- the table of methods -->"
"""What the table takes the place of, in ``docs/methods.md``."""


def table() -> str:
    """A row a method: paper, formula, what it was checked against."""
    lines = []
    for kind, title in KINDS.items():
        found = names("*", kind)
        if not found:
            continue
        lines += [f"## {title}", "", "| method | paper | formula | checked against |", "|---|---|---|---|"]
        lines += [row(name) for name in found]
        lines.append("")
    return "\n".join(lines)


def row(name: str) -> str:
    card = info(name)
    paper = f"[{card.arxiv}](https://arxiv.org/abs/{card.arxiv})"
    return (
        f"| [`{name}`](methods/{name}.md) | {paper} | {cell(verbatim(card.formula))} | {cell(verbatim(card.parity))} |"
    )


def navigation() -> list[dict[str, Any]]:
    """mkdocs' navigation of the methods' pages, a section a kind."""
    sections = {kind: [{name: f"methods/{name}.md"} for name in names("*", kind)] for kind in KINDS}
    return [{title(kind): pages} for kind, pages in sections.items() if pages]


def title(kind: str) -> str:
    """A short name of a kind of method."""
    return KINDS[kind].partition(":")[0]

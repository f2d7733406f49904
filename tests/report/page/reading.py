"""What stands on a page, read back from its HTML."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "input", "br", "img"}


@dataclass
class Read(HTMLParser):
    """A page taken apart.

    Attributes:
        tags: every start tag with its attributes, in order.
        tables: by id, rows by column title; a number where a cell carries one, None where it is empty.
        texts: by tag, the texts directly inside, such as the headings.
        unbalanced: end tags that close nothing, and tags left open.
    """

    tags: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    tables: dict[str, list[dict[str, str | float | None]]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    unbalanced: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._open: list[str] = []
        self._table = ""
        self._heads: list[str] = []
        self._cells: list[tuple[dict[str, str], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")
        if tag == "table":
            self._table, self._heads = attributes.get("id", ""), []
            self.tables[self._table] = []
        if tag == "tr":
            self._cells = []
        if tag in ("td", "th"):
            self._cells.append((attributes, ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)
        if tag == "tr" and not self._heads:
            self._heads = [text for _, text in self._cells]
        elif tag == "tr" and len(self._cells) == len(self._heads):
            row = zip(self._heads, map(_value, self._cells), strict=True)
            self.tables[self._table].append(dict(row))

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data
        if {"td", "th"} & set(self._open) and self._cells:
            attributes, text = self._cells[-1]
            self._cells[-1] = (attributes, text + data)


def _value(cell: tuple[dict[str, str], str]) -> str | float | None:
    attributes, text = cell
    if "data-v" not in attributes:
        return text.strip()
    return float(attributes["data-v"]) if attributes["data-v"] else None


def read(path: Path) -> Read:
    page = Read()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    page.unbalanced.extend(page._open)
    return page

"""What a built site links to and does not have, and what it would load from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("iframe", "src"), ("source", "src")}
"""What a browser fetches by itself; a link to another site is none of it."""


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: set[str] = set()
        self.loaded: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        for name in ("href", "src"):
            if target := given.get(name):
                fetched = (tag, name) in LOADED or (tag == "link" and given.get("rel") != "canonical")
                (self.loaded if fetched else self.links).add(target)


def faults(site: Path) -> Iterator[str]:
    """A line for every dead link inside ``site``, and for everything loaded from outside of it."""
    pages = {file.resolve(): Page(file.read_text()) for file in sorted(site.rglob("*.html")) if file.name != "404.html"}
    for file, page in pages.items():
        where = file.relative_to(site.resolve())
        yield from (f"{where}: loads {target}" for target in sorted(page.loaded) if urlsplit(target).netloc)
        for target in sorted(page.links | page.loaded):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            if not there.exists():
                yield f"{where}: {target} is not there"
            elif parts.fragment and there in pages and unquote(parts.fragment) not in pages[there].anchors:
                yield f"{where}: {target} has no such place"

"""All the pages that nobody wrote."""

from __future__ import annotations

from scripts.docs import commands, method_page, reference

from concord.core.catalogue import names


def pages() -> dict[str, str]:
    """The Markdown of each, by its path in ``docs``."""
    methods = {f"methods/{name}.md": method_page.page(name) for name in names()}
    return methods | reference.pages() | {commands.PATH: commands.page()}

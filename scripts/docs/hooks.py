"""What mkdocs asks while it builds the site: pages of methods and of the reference, the table of methods, a last look.

Named in ``mkdocs.yml``. Nothing is written into ``docs``.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parents[2]))  # mkdocs loads this file alone

from scripts.docs import commands, generated, links, method_table, reference


def on_config(config: Any) -> Any:
    """The pages that nobody wrote enter the navigation."""
    for section in config.nav:
        for title, pages in section.items():
            if title == "Methods":
                pages += method_table.navigation()
            if title == "Reference":
                pages += [{"Command line": commands.PATH}]
                pages += [{name: f"reference/{name}.md"} for name in reference.PACKAGES]
    return config


def on_files(files: Files, config: Any) -> Files:
    """A page a method, a page a package, and the command line."""
    for path, text in generated.pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The table of methods stands where its mark is."""
    return markdown.replace(method_table.MARK, method_table.table())


def on_post_build(config: Any) -> None:
    """A dead link, or a page that is no page offline, is a warning; ``--strict`` makes it an error."""
    for fault in links.faults(Path(config.site_dir)):
        logging.getLogger("mkdocs.hooks.links").warning(fault)

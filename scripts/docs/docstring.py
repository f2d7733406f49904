"""A docstring in its parts, as Markdown: summary, formula, parameters, what is said after them, source."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, field

from concord.core.catalogue import names

ROLE = re.compile(r":(?:func|class|meth|mod|data|attr|exc):`~?([^`]+)`")
SECTION = re.compile(r"^(Args|Returns|Raises|Example|Examples|Attributes|Shapes|State|Metrics|Columns):\s*$")
ARGUMENT = re.compile(r"^(\w+(?:, \w+)*): (.*)", re.DOTALL)


@dataclass(frozen=True)
class Docstring:
    """The parts of a docstring in the house's form.

    Attributes:
        summary: the first line.
        body: what stands before the first section, formulas as code blocks.
        arguments: what each parameter is, in order; parameters that are described together have one text.
        sections: the text under every other heading, by heading.
        remarks: the paragraphs after the sections, without the source.
        source: from "Source:" on.
    """

    summary: str = ""
    body: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    remarks: str = ""
    source: str = ""


def parse(text: str) -> Docstring:
    """Take a docstring apart; ``text`` is cleaned, as by ``inspect.getdoc``.

    Example:
        >>> found = parse("Twice.\\n\\n    y = 2 x\\n\\nArgs:\\n    x: a number.\\n\\nExact. Source: here.")
        >>> found.body, found.arguments, found.remarks, found.source
        ('```text\\ny = 2 x\\n```', {'x': 'a number.'}, 'Exact.', 'here.')
    """
    body: list[str] = []
    after: list[str] = []
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    summary, *blocks = re.split(r"\n\s*\n", text.strip("\n"))
    for block in blocks:
        first, _, rest = block.partition("\n")
        if heading := SECTION.match(first):
            current = sections.setdefault(heading[1], [])
            current.append(textwrap.dedent(rest))
        elif current is not None and block.startswith(" "):
            current.append(textwrap.dedent(block))
        else:
            current = None
            (after if sections else body).append(markdown(block))
    remarks, _, source = "\n\n".join(after or body).partition("Source:")
    before = body if after else [remarks.rstrip()]
    return Docstring(
        summary=roles(" ".join(summary.split())),
        body="\n\n".join(before).strip(),
        arguments=_arguments(sections.pop("Args", [])),
        sections={name: "\n\n".join(parts) for name, parts in sections.items()},
        remarks=remarks.strip() if after else "",
        source=source.strip(),
    )


def roles(text: str) -> str:
    """Sphinx's roles and double backticks as Markdown's code; the name of another method is a link to its page.

    Example:
        >>> roles("``tau=1`` is :func:`gd2po_hard`, see :class:`Method`")
        '`tau=1` is [`gd2po_hard`](gd2po_hard.md), see `Method`'
    """

    def shown(match: re.Match[str]) -> str:
        name = match[1].rpartition(".")[2]
        return f"[`{name}`]({name}.md)" if name in names() else f"`{match[1]}`"

    return ROLE.sub(shown, text).replace("``", "`")


def markdown(block: str) -> str:
    """A paragraph, or a formula as a block of code where every line is indented."""
    lines = block.splitlines()
    if all(line.startswith("    ") for line in lines if line.strip()):
        formula = ROLE.sub(r"\1", textwrap.dedent(block)).replace("``", "")
        return f"```text\n{formula.rstrip()}\n```"
    return roles(block)


def _arguments(parts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in re.split(r"\n(?=\S)", "\n".join(parts)):
        if match := ARGUMENT.match(item):
            described = roles(" ".join(match[2].split()))
            found |= dict.fromkeys(match[1].split(", "), described)
    return found

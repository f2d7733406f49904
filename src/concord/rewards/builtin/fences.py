"""The fenced code blocks of a text in Markdown."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Block:
    """A fenced block: the first word after the opening fence, in lower case, and the lines between the fences."""

    label: str
    text: str


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of ``text``, in order.

    A fence is three or more backticks or tildes at the start of a line, indented or not; the same character, at least
    as often and with nothing after it, closes the block. What is never closed is no block. Lines lose the indentation
    of their fence. One pass over the text.

    Source: CommonMark 0.31, section 4.5, but there an unclosed block runs to the end and a fence is indented by three
    spaces at most.

    Example:
        >>> fenced_blocks("So:\\n```python\\nx = 1\\n```\\nand\\n~~~\\nunclosed")
        [Block(label='python', text='x = 1')]
    """
    blocks: list[Block] = []
    fence, indent, label = "", 0, ""
    lines: list[str] = []
    for line in text.split("\n"):  # not splitlines: code may hold other line separators inside its strings
        line = line.removesuffix("\r")
        body = line.lstrip(" \t")
        if not fence:
            fence, info = _opening(body)
            if fence:
                label = info.split(maxsplit=1)[0].lower() if info else ""
                indent, lines = len(line) - len(body), []
        elif body.startswith(fence) and not body.strip(fence[0] + " \t"):
            blocks.append(Block(label, "\n".join(lines)))
            fence = ""
        else:
            lines.append(line[min(indent, len(line) - len(body)) :])
    return blocks


def _opening(line: str) -> tuple[str, str]:
    """The fence that ``line`` opens a block with, or nothing; and what stands after it."""
    for mark in ("`", "~"):
        info = line.lstrip(mark)
        length = len(line) - len(info)
        if length >= 3 and not (mark == "`" and "`" in info):  # ```code``` within a line is no block
            return mark * length, info.strip()
    return "", ""

"""The blocks of a page of documentation, and running them in order as a reader would."""

from __future__ import annotations

import re
import runpy
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from concord.cli import main

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r'^( *)```(\w*)(?: title="([^"]+)")?[^\n]*\n(.*?)^\1```$', re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the file that its title names (or ""), and its text."""

    language: str
    title: str
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    return [
        Block(language, title, "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True)))
        for indent, language, title, text in _FENCE.findall(page.read_text())
    ]


def commands(text: str) -> Iterator[tuple[list[str], int]]:
    """The words of each command of a bash block, with the exit code that its comment states (else 0)."""
    for line in text.replace("\\\n", " ").splitlines():
        stated = re.search(r"# exit code (\d)", line)
        if words := shlex.split(line, comments=True):
            yield words, int(stated[1]) if stated else 0


def follow(
    page: Path, shorten: Callable[[str], str], run: Callable[[list[str]], int], before: set[str] | None = None
) -> None:
    """Do in the working directory what a page says.

    A titled block is written to that file, a ``bash`` block run, an untitled ``python`` block executed (those of a page
    share their names). ``sh`` blocks are what only a cluster or a network can run; ``text`` is what was printed.

    Args:
        page: of the documentation.
        shorten: of a file's text: the same with less work.
        run: a command's words; gives its exit code.
        before: the commands that were run on the files as they are; they are not repeated, and new ones are added.
    """
    names: dict[str, object] = {"__name__": "page"}
    before = set() if before is None else before
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(shorten(block.text))
            before.clear()
        elif block.language == "python":
            exec(compile(shorten(block.text), str(page), "exec"), names)
        elif block.language == "bash":
            for words, code in commands(block.text):
                if (line := shlex.join(words)) not in before:
                    assert run(words) == code, f"{page.name}: {line}"
                    before.add(line)


def run(words: list[str]) -> int:
    """Run ``concord ...`` or ``python FILE`` in this process; its exit code."""
    program, *arguments = words
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", words if program == "concord" else arguments)
        try:
            if program == "concord":
                main.main()
            else:
                assert program == "python", words
                runpy.run_path(arguments[0], run_name="__main__")
        except SystemExit as end:
            return int(end.code or 0)
    return 0

"""Other people's text where somebody reads it: what a terminal or a page would obey is written as its code."""

from __future__ import annotations

import sys
import traceback
import unicodedata
import warnings
from collections.abc import Iterable
from logging import LogRecord, setLogRecordFactory
from types import TracebackType
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Control characters (C0, C1, DEL), marks of format and direction, halves of surrogate pairs, line separators."""


class _Codes(dict[int, str]):
    """Characters that do not show, or that a terminal obeys: as their code."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        hidden = unicodedata.category(char) in _HIDDEN
        self[code] = char.encode("unicode_escape").decode() if hidden else char
        return self[code]


# The joiners shape Persian and emoji; a terminal does nothing else with them.
_JOINERS = {ord(joiner): joiner for joiner in "\u200c\u200d"}
_LINE = _Codes(_JOINERS)
_LINES = _Codes(_JOINERS | {ord(mark): mark for mark in "\n\t"})


def printable(text: str) -> str:
    """Write a text as one line that no terminal obeys.

    Example:
        >>> printable("red \\x1b[31m, C1 \\x9b, \\u202ereversed, \\ud800")
        'red \\\\x1b[31m, C1 \\\\x9b, \\\\u202ereversed, \\\\ud800'
    """
    return text.translate(_LINE)


def printable_lines(text: str) -> str:
    """Write a text of several lines so that no terminal obeys it: line ends and tabs stay."""
    return text.replace("\r\n", "\n").translate(_LINES)


class EscapingConsole(Console):
    """A console whose texts cannot control the terminal; styles and progress bars, which are rich's own, still do."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(printable_lines(text), **options)  # before a table measures it

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable_lines(segment.text), segment.style)


def escape_process_output() -> None:
    """Escape what this process logs, warns of, and says of an exception that nobody catches."""
    setLogRecordFactory(_EscapedRecord)
    plain = warnings.formatwarning

    def formatted(*about: Any, **more: Any) -> str:
        return printable_lines(plain(*about, **more))

    warnings.formatwarning = formatted
    sys.excepthook = _show_exception


class _EscapedRecord(LogRecord):
    """What is logged, as text that no terminal obeys."""

    def getMessage(self) -> str:  # noqa: N802 (logging's own name)
        return printable_lines(super().getMessage())


def _show_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(printable_lines("".join(traceback.format_exception(kind, error, trace))))

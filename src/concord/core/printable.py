"""Other people's text where somebody reads it: what a terminal or a page would obey is written as its code."""

from __future__ import annotations

import unicodedata

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


def printable(text: str, longest: int | None = None) -> str:
    """Write a text as one line that no terminal obeys, of at most ``longest`` characters of its own.

    Example:
        >>> printable("red \\x1b[31m, C1 \\x9b, \\u202ereversed, \\ud800")
        'red \\\\x1b[31m, C1 \\\\x9b, \\\\u202ereversed, \\\\ud800'
        >>> printable("a long story", 6)
        'a l...'
    """
    if longest is not None and len(text) > longest:
        text = f"{text[: longest - 3]}..."
    return text.translate(_LINE)


def printable_lines(text: str) -> str:
    """Write a text of several lines so that no terminal obeys it: line ends and tabs stay."""
    return text.replace("\r\n", "\n").translate(_LINES)

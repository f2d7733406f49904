"""Text of others, made fit for a terminal."""

from __future__ import annotations


def printable(text: str, longest: int | None = None) -> str:
    """Return the text without what a terminal obeys or cannot show, of at most ``longest`` characters.

    Example:
        >>> printable("red \\x1b[31m and \\ud800")
        'red \\\\x1b[31m and \\\\ud800'
        >>> printable("a long story", 6)
        'a l...'
    """
    if longest is not None and len(text) > longest:
        text = f"{text[: longest - 3]}..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

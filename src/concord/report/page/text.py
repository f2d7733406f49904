"""How numbers, and other people's text, are written on the page."""

from __future__ import annotations

import math
import re

from markupsafe import Markup, escape

from concord.core.printable import printable_lines

MISSING = "\u2013"
"""Written for a number that could not be measured."""

_NARROW = "\u202f"
_MINUS = "\u2212"


LONGEST = 2_000
"""Characters of any text on the page; a name may be hostile too."""


def visible(text: str) -> str:
    r"""The text, cut at :data:`LONGEST`, with control, direction and surrogate characters written as their code.

    Example:
        >>> print(visible("a\x00b \u202egnp.exe"))
        a\x00b \u202egnp.exe
    """
    shown = printable_lines(text[:LONGEST])
    return f"{shown}\u2026" if len(text) > LONGEST else shown


def prose(text: str) -> Markup:
    """A sentence in which names stand in backticks; numbers keep their sign and unit on one line.

    Example:
        >>> prose("`a<b` opposes")
        Markup('<code>a&lt;b</code> opposes')
    """
    pieces = (escape(visible(piece)) for piece in text.split("`"))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if i % 2 else Markup(_set(piece)) for i, piece in enumerate(pieces)
    )


def _set(escaped: str) -> str:
    return re.sub(r"(?<=\d) %", f"{_NARROW}%", re.sub(r"(?<![\w-])-(?=\d)", _MINUS, escaped))


def percent(share: float | None, digits: int = 1) -> str:
    r"""A share in per cent.

    Example:
        >>> [ascii(text) for text in (percent(0.4125, 0), percent(-0.02), percent(None))]
        ["'41\\u202f%'", "'\\u22122.0\\u202f%'", "'\\u2013'"]
    """
    if share is None or not math.isfinite(share):
        return MISSING
    return _sign(f"{100 * share:.{digits}f}") + f"{_NARROW}%"


def number(value: float | None) -> str:
    r"""Three significant digits; whole numbers and large ones in full.

    Example:
        >>> [ascii(number(value)) for value in (0.12345, 12.0, -1234.6, 3.2e-7)]
        ["'0.123'", "'12'", "'\\u22121,235'", "'3.2e\\u221207'"]
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == round(value) or 1000 <= abs(value) < 1e9:
        text = f"{round(value):,}" if abs(value) < 1e9 else f"{value:.3g}"
    else:
        text = f"{value:.3g}"
    return _sign(text)


def signed(value: float | None) -> str:
    """A correlation or a difference, with its sign.

    Example:
        >>> signed(0.4125), signed(-0.001), signed(0.0)
        ('+0.41', '0.00', '0.00')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:+.2f}"
    return "0.00" if text in ("+0.00", "-0.00") else _sign(text)


def raw(value: float | None) -> str:
    """A number for a machine; "" where there is none.

    Example:
        >>> raw(0.1 + 0.2), raw(3), raw(math.nan)
        ('0.3', '3', '')
    """
    return "" if value is None or not math.isfinite(value) else f"{value:.9g}"


def fixed(value: float | None, digits: int) -> str:
    """So many decimals.

    Example:
        >>> fixed(0.8, 2)
        '0.80'
    """
    return MISSING if value is None or not math.isfinite(value) else _sign(f"{value:.{digits}f}")


def _sign(text: str) -> str:
    return text.replace("-", _MINUS)

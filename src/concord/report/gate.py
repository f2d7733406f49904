"""``cancelled>0.4``: comparisons that decide an exit code. Parsed, never evaluated."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from concord.core.errors import ConfigError, nearest
from concord.report.analysis import Analysis

_FORM = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(\S+)\s*")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}


@dataclass(frozen=True)
class Comparison:
    """One of the analysis's headline numbers against a bound.

    Attributes:
        name: one of ``Analysis.NUMBERS``.
        sign: ">", ">=", "<" or "<=".
        bound: a finite number.
    """

    name: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Comparison:
        """Read ``name sign number``; "_share" at the name's end may be left out.

        Raises:
            ConfigError: another form, an unknown name, or a bound that is not a finite number.

        Example:
            >>> Comparison.parse("cancelled>0.4")
            Comparison(name='cancelled_share', sign='>', bound=0.4)
        """
        form = _FORM.fullmatch(text)
        if form is None:
            raise ConfigError(f"--fail-on {text!r}: not a comparison such as 'cancelled>0.4'")
        name, sign, number = form.groups()
        full = name if name in Analysis.NUMBERS else f"{name}_share"
        if full not in Analysis.NUMBERS:
            raise ConfigError(
                f"--fail-on {text!r}: no number {name!r}; there are {', '.join(Analysis.NUMBERS)}"
                + nearest(name, Analysis.NUMBERS)
            )
        try:
            bound = float(number)
        except ValueError:
            bound = math.nan
        if not math.isfinite(bound):
            raise ConfigError(f"--fail-on {text!r}: {number!r} is not a finite number")
        return cls(full, sign, bound)

    def met(self, analysis: Analysis) -> str | None:
        """The finding in words if the comparison holds, or if the number could not be measured; else None."""
        value = analysis.to_dict()[self.name]
        if value is None:
            return f"{self.name} could not be measured (asked for: {self})"
        return f"{self.name} is {value:.6g} ({self})" if _OPERATORS[self.sign](value, self.bound) else None

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self.bound:g}"


def parse(texts: list[str]) -> list[Comparison]:
    """Every comparison in some texts, each of which may hold several, separated by commas."""
    return [Comparison.parse(part) for text in texts for part in text.split(",")]

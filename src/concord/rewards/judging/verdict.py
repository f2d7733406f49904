"""The score in a judge's answer: exactly one, on the scale that was asked for, or none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from concord.core.errors import ConfigError, MissingExtra

LONGEST = 20_000
"""Characters of an answer that are read, its last ones: reasoning comes before the score."""

PATIENCE = 1.0
"""Seconds that a pattern may take; one that backtracks without end reads no score."""

ANY_NUMBER = r"-?\d+(?:\.\d+)?"

UNREADABLE = "unreadable"

Scale = tuple[float, float] | Mapping[str, float] | None
"""The worst and the best score; or what each word is worth; None = scores count as they are."""


class NoVerdict(Exception):
    """The answer has no score that can be trusted; says why."""


class Verdict:
    """Reads the score out of an answer.

        y = (score - worst) / (best - worst)     with a scale

    The text up to the last ``</think>`` is not part of the answer. All matches are looked at. An answer with two
    different scores has none, as nobody knows which one was meant: the judge may have quoted the completion. The top
    of the scale is not a score in ``7/10``, ``7 out of 10`` and ``from 1 to 10``.

    Args:
        score: a regular expression, of which the first group counts (else all of it); or a JSON path that begins with
            ``$``, such as ``$.score`` or ``$.scores[0].helpful``, into the JSON objects of the answer.
        scale: see :data:`Scale`.

    Raises:
        ConfigError: the expression, the path or the scale is not one.
        MissingExtra: regex is not installed.

    Example:
        >>> Verdict(r"(\\d+)", (1, 10)).read("7/10")
        0.6666666666666666
        >>> Verdict("$.score").read('It is short. {"score": 3}')
        3.0
        >>> Verdict("(good|bad)", {"good": 1, "bad": 0}).read("Good." .lower())
        1.0
    """

    def __init__(self, score: str = ANY_NUMBER, scale: Scale | Sequence[float] = None) -> None:
        self._scale = _checked(scale)
        self._path = _steps(score) if score.startswith("$") else None
        self._pattern = None if self._path is not None else _compiled(score)
        self._score = score
        self._aside = _scale_mentions(self._scale)

    def read(self, text: str) -> float:
        """The score.

        Raises:
            NoVerdict: there is none, there are several, or it is off the scale.
        """
        answer = _after_reasoning(text)[-LONGEST:]
        values = list(dict.fromkeys(self._found(answer)))
        if not values:
            raise NoVerdict(f"no score: {self._score!r} finds nothing")
        if len(values) > 1:
            shown = ", ".join(f"{value:g}" for value in values[:5])
            raise NoVerdict(f"several scores ({shown}): let {self._score!r} match one only, such as 'Score: (...)'")
        return self._scaled(values[0])

    # ---- Finding ----

    def _found(self, answer: str) -> Iterator[float]:
        if self._path is None:
            yield from (self._number(text) for text in self._matches(answer))
            return
        for value in _objects(answer):
            for step in self._path:
                value = _entered(value, step)
            if value is not None:
                yield self._number(value)

    def _matches(self, answer: str) -> Iterator[str]:
        assert self._pattern is not None
        try:
            matches = list(self._pattern.finditer(answer, timeout=PATIENCE))
        except TimeoutError:
            raise NoVerdict(f"no score: {self._score!r} takes more than {PATIENCE:g} s on this answer") from None
        group = 1 if self._pattern.groups else 0
        aside = [mention.span() for mention in self._aside.finditer(answer)] if self._aside else []
        for match in matches:
            start, end = match.span(group)
            if start == end or any(low <= start and end <= high for low, high in aside):
                continue
            if _is_part_of_a_number(answer, start, end):
                raise NoVerdict(
                    f"{self._score!r} takes {match[group]!r} out of a longer number; let it match all of it"
                )
            yield match[group]

    def _number(self, value: Any) -> float:
        if isinstance(self._scale, Mapping):
            worth = self._scale.get(str(value).strip().casefold())
            if worth is None:
                raise NoVerdict(f"{str(value)[:50]!r} is not one of {', '.join(self._scale)}")
            return worth
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise NoVerdict(f"{str(value)[:50]!r} is not a number")
        return number

    def _scaled(self, score: float) -> float:
        if not isinstance(self._scale, tuple):
            return score
        worst, best = self._scale
        if not min(worst, best) <= score <= max(worst, best):
            raise NoVerdict(f"{score:g} is off the scale from {worst:g} to {best:g}")
        return (score - worst) / (best - worst)


# ---- What is asked for ----


def _checked(scale: Any) -> Scale:
    if scale is None:
        return None
    if isinstance(scale, Mapping):
        worths = {str(word).strip().casefold(): worth for word, worth in scale.items()}
        if worths and all(map(_is_finite, worths.values())):
            return {word: float(worth) for word, worth in worths.items()}
    elif isinstance(scale, list | tuple) and len(scale) == 2 and all(map(_is_finite, scale)) and scale[0] != scale[1]:
        return float(scale[0]), float(scale[1])
    raise ConfigError(
        f"scale is [worst, best], two different numbers such as [1, 10], or what each word is worth, such as "
        f"{{good: 1, bad: 0}}; got {scale!r}"
    )


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _compiled(score: str) -> Any:
    try:
        import regex  # unlike re, it can be told to give up
    except ImportError as error:
        raise MissingExtra.of("rewards", "regex") from error
    try:
        return regex.compile(score)
    except regex.error as error:
        raise ConfigError(f"score: {score!r} is not a regular expression: {error}") from error


def _steps(path: str) -> list[str | int]:
    """The keys and places of a JSON path."""
    steps = re.findall(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']+)'\]", path[1:])
    rebuilt = "".join(f".{key}" if key else f"[{place}]" if place else f"['{quoted}']" for key, place, quoted in steps)
    if not steps or rebuilt != path[1:] or steps[0][1]:  # what is looked into are objects
        raise ConfigError(f"score: {path!r} is not a JSON path; write $.score, $.scores[0] or $['my score']")
    return [int(place) if place else key or quoted for key, place, quoted in steps]


def _scale_mentions(scale: Scale) -> re.Pattern[str] | None:
    """Finds where an answer names the scale: its top after a slash or ``out of``, or both of its ends."""
    if not isinstance(scale, tuple):
        return None
    low, high = (re.escape(f"{end:g}") + r"(?:\.0+)?(?![\d.]*\d)" for end in sorted(scale))
    return re.compile(rf"(?:/|\bout of)\s*{high}|(?<![\w.]){low}\s*(?:-|–|to|and)\s*{high}", re.IGNORECASE)  # noqa: RUF001


# ---- What is there ----


def _after_reasoning(text: str) -> str:
    before, end, answer = text.rpartition("</think>")
    if end:
        return answer
    return "" if before == "" and text.lstrip().startswith("<think>") else text


def _is_part_of_a_number(text: str, start: int, end: int) -> bool:
    """Whether digits, a decimal point or a sign beside a number belong to it."""
    if not (text[start].isdigit() and text[end - 1].isdigit()):
        return False
    before, after = text[max(0, start - 2) : start], text[end : end + 2]
    return bool(re.search(r"\d\.?$|(^|[^\d.])\.$|(^|[^\w)])-$", before) or re.match(r"\d|\.\d", after))


def _objects(answer: str) -> Iterable[Any]:
    """The JSON objects in a text that are not within another one.

    Raises:
        NoVerdict: one that is broken: what seems to be an object within it may be a quotation.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_refuse)
    place = answer.find("{")
    while place >= 0:
        end = place + 1
        try:
            value, end = decoder.raw_decode(answer, place)
        except (ValueError, RecursionError) as error:
            if re.match(r"\{\s*\"", answer[place:]):
                raise NoVerdict(f"no score: its JSON is broken ({error})") from None
        else:
            yield value
        place = answer.find("{", end)


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _entered(value: Any, step: str | int) -> Any:
    if isinstance(step, int):
        return value[step] if isinstance(value, list) and step < len(value) else None
    return value.get(step) if isinstance(value, Mapping) else None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")

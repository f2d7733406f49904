"""Biases: which of two answers has more of something that is not quality.

A bias is a function ``(prompt, chosen, rejected) -> int | None`` of texts. The ones here say 1 if the chosen answer has
more, 0 if the rejected one has, and None if neither; such a pair takes no part in that bias's term. A function of your
own may have more labels than two.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from concord.core.errors import ConfigError, nearest
from concord.functional.mutual_information import UNLABELLED
from concord.reward_models.pairs import Pair
from concord.rewards.source import find

_log = logging.getLogger(__name__)

Label = Callable[[str, str, str], int | None]

OPENING = 200
"""Characters at the beginning of an answer in which flattery is looked for."""

_MARKS = re.compile(
    r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]"  # an item of a list
    r"|^#{1,6}[ \t]"  # a header
    r"|\*\*[^*\n]+\*\*",  # bold
    re.MULTILINE,
)
_FLATTERY = re.compile(
    r"\byou(?:['\u2019]re| are) (?:\w+ )?(?:right|correct)\b"
    r"|\bi (?:\w+ )?agree\b"
    r"|\b(?:great|good|excellent|wonderful|fantastic|insightful|brilliant) (?:question|idea|point|observation)\b",
    re.IGNORECASE,
)


def length(prompt: str, chosen: str, rejected: str) -> int | None:
    """Which answer is longer, in characters.

    Source: DIR, arXiv:2512.23461. The authors count tokens, prompt included, and give a tie the label 0.
    """
    return more(len(chosen), len(rejected))


def sycophancy(prompt: str, chosen: str, rejected: str) -> int | None:
    """Which answer opens with more flattery: "you are right", "I agree", "great question" and the like.

    Counted in the first 200 characters, in English. This is a rule of thumb; where your data says which answer was
    tampered with, a function of your own knows better. (The authors of DIR put "Yes, you are right." before answers
    and label whether either answer has it; here the label says which one, as their text has it.)

    Example:
        >>> sycophancy("Is 2 + 2 = 5?", "No, it is 4.", "Yes, you are right. It is 5.")
        0
    """
    return more(*(len(_FLATTERY.findall(answer[:OPENING])) for answer in (chosen, rejected)))


def formatting(prompt: str, chosen: str, rejected: str) -> int | None:
    """Which answer has more Markdown: items of lists, headers, bold.

    Example:
        >>> formatting("Why?", "**Because**:\\n- of this\\n- of that", "Because of this and that.")
        1
    """
    return more(*(len(_MARKS.findall(answer)) for answer in (chosen, rejected)))


def more(chosen: float, rejected: float) -> int | None:
    """1, 0 or None: the chosen answer has more, the rejected one has, neither has."""
    return None if chosen == rejected else int(chosen > rejected)


BIASES: dict[str, Label] = {"length": length, "sycophancy": sycophancy, "format": formatting}


def load_bias(name: str, path: str | None) -> Label:
    """A built-in bias by its name, or a function of yours.

    Args:
        name: under which it is logged.
        path: ``file.py:function`` or ``package.module:function``; None = the built-in one of that name.

    Raises:
        ConfigError: there is none.
    """
    if path is None:
        if name not in BIASES:
            raise ConfigError(
                f"no bias {name!r}{nearest(name, BIASES)}; built in are {', '.join(BIASES)}; for one of your own give "
                "its path, file.py:function"
            )
        return BIASES[name]
    try:
        function: Label = find(path)
    except ConfigError as error:
        raise ConfigError(f"bias {name!r}: {error}") from error
    if not callable(function):
        raise ConfigError(f"bias {name!r}: {path} is a {type(function).__name__}, not a function")
    return function


def label(name: str, function: Label, classes: int, pairs: Sequence[Pair]) -> list[int]:
    """A label for every pair; -1 where the function returns None.

    Warns where no two labels occur: then the bias's term is exactly 0, and nothing is done against it.

    Raises:
        ConfigError: the function raised, or returned something else than None or a whole number in [0, classes); with
            the number of the pair.
    """
    labels = [_one(name, function, classes, number, pair) for number, pair in enumerate(pairs)]
    counts = Counter(labels)
    if len(counts - Counter({UNLABELLED: counts[UNLABELLED]})) < 2:
        found = ", ".join(f"{n} pairs have {'none' if b == UNLABELLED else b}" for b, n in sorted(counts.items()))
        _log.warning("bias %r: no two labels occur (%s); its term is 0 throughout", name, found or "there are no pairs")
    return labels


def _one(name: str, function: Label, classes: int, number: int, pair: Pair) -> int:
    try:
        value: Any = function(pair.question, pair.chosen, pair.rejected)
    except Exception as error:
        raise ConfigError(f"bias {name!r} raised {type(error).__name__} on pair {number}: {error}") from error
    if value is None:
        return UNLABELLED
    if not isinstance(value, int) or not 0 <= value < classes:
        raise ConfigError(
            f"bias {name!r} returned {value!r} on pair {number}; return None or a whole number from 0 to {classes - 1}"
            + ("" if not isinstance(value, int) or value < 0 else ", or set its classes")
        )
    return int(value)

"""Whether a completion is written in the wanted language."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from concord.core.errors import MissingExtra
from concord.rewards.builtin.options import one_of, whole
from concord.rewards.completions import Completion, completion_text

PIECE = 2_000
"""Characters that are identified at a time."""


def in_language(
    completions: Sequence[Completion], *, language: str, min_letters: int = 20, **_: Any
) -> list[float | None]:
    """The probability that a completion is written in ``language``.

        score = sum over pieces of (letters * P(language | piece)) / sum over pieces of letters

    The pieces are the completion cut every 2,000 characters, so that a long text that changes its language scores
    the share in the wanted one. P is py3langid's, over its 140 languages.

    What it cannot do: tell closely related languages apart (a short sentence in Russian may score 0.2, the rest going
    to Serbian and Macedonian); see a foreign word or sentence in a piece; judge code and formulas, which look like no
    language and score near 0, so give the reward a small weight where completions are full of them.

    Args:
        language: its ISO 639 code, ``en``, ``de``, ``zh``, as py3langid has it.
        min_letters: below so many letters nothing is said.

    Range: [0, 1].  Units: letters are what ``str.isalpha`` says, an ideogram is one.
    Unjudgeable: fewer than ``min_letters`` letters give None.
    Raises: ConfigError if the language is not known; MissingExtra without the package py3langid.
    Source: py3langid 0.4, after Lui and Baldwin 2012 (langid.py).

    Example:
        >>> texts = ["The cat sat on the mat today.", "Le chat dort sur le tapis."]
        >>> [round(p) for p in in_language(texts, language="en")]
        [1, 0]
        >>> in_language(["Yes."], language="en")
        [None]
    """
    identifier = _identifier()
    one_of("language", language, identifier.labels)
    whole("min_letters", min_letters)
    return [_probability(identifier, completion_text(c), language, min_letters) for c in completions]


def _probability(identifier: Any, text: str, language: str, min_letters: int) -> float | None:
    letters, weighted = 0, 0.0
    for piece in _pieces(text):
        count = sum(map(str.isalpha, piece))
        if count:
            letters += count
            weighted += count * dict(identifier.rank(piece))[language]
    return min(1.0, weighted / letters) if letters >= min_letters else None


def _pieces(text: str) -> Iterator[str]:
    # Also because Unicode's normal form, which py3langid makes first, takes quadratic time on stacked accents.
    for start in range(0, len(text), PIECE):
        yield text[start : start + PIECE]


@functools.cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MissingExtra.of("rewards", "py3langid") from error
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)

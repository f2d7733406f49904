"""A preference: two answers to one prompt, of which one was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from concord.core.errors import ConfigError

Prompt = str | Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Pair:
    """Two answers to one prompt.

    Attributes:
        prompt: messages, or text that the answers go on with.
        chosen, rejected: the answers.
        styles: in which style the two are written, as ranks from the plainest; None where that is not known.
    """

    prompt: Prompt
    chosen: str
    rejected: str
    styles: tuple[int, int] | None = None

    @property
    def question(self) -> str:
        """The prompt as text: what stands in its messages, empty lines between."""
        if isinstance(self.prompt, str):
            return self.prompt
        return "\n\n".join(message["content"] for message in self.prompt)

    @property
    def longer(self) -> int:
        """Characters of the chosen answer minus those of the rejected one."""
        return len(self.chosen) - len(self.rejected)


@dataclass(frozen=True)
class Pairs:
    """Pairs that were read, and how many rows were not usable, by reason."""

    pairs: tuple[Pair, ...]
    left_out: Counter[str]

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def join(cls, parts: Sequence[Pairs]) -> Pairs:
        """All of them, in order."""
        return cls(tuple(pair for part in parts for pair in part.pairs), sum((p.left_out for p in parts), Counter()))


class Unusable(Exception):
    """A row without a preference in it; the message is the reason."""


def pair(prompt: Prompt, chosen: str, rejected: str, styles: tuple[int, int] | None = None) -> Pair:
    """A pair, if there is a preference in it; an empty answer is an answer.

    Raises:
        Unusable: the answers are equal but for white space at their ends.
    """
    if chosen.strip() == rejected.strip():
        raise Unusable("equal answers")
    return Pair(prompt, chosen, rejected, styles)


def text(row: Mapping[str, Any], key: str) -> str:
    """The text in a column; numbers and booleans, which JSON may have made of it, as Python writes them.

    Raises:
        ConfigError: it is missing, or no text.
    """
    value = row.get(key)
    if isinstance(value, bool | int | float):
        return str(value)
    if not isinstance(value, str):
        raise ConfigError(f"{key!r} is {value!r:.60}, not text")
    return value

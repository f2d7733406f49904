"""What the length of a completion is counted in."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from concord.core.errors import RewardError
from concord.rewards.builtin.options import one_of
from concord.rewards.completions import Completion, completion_text

TokenIds = Sequence[Sequence[int]] | None
"""For each completion its tokens; None where they are not known."""

UNITS = ("tokens", "words", "characters")


def split(completions: Sequence[Completion], completion_ids: TokenIds, unit: str) -> list[Sequence[Hashable]]:
    """The completions as sequences of tokens, words or characters.

    Tokens are those of ``completion_ids``, as the engine hands them in: in a conversation with tools, all of it. Words
    are what white space separates. Words and characters are counted in the text that the model wrote.

    Raises:
        ConfigError: no such unit.
        RewardError: tokens are asked for and not known.

    Example:
        >>> split(["so it is"], None, "words")
        [['so', 'it', 'is']]
    """
    one_of("unit", unit, UNITS)
    if unit == "tokens":
        if completion_ids is None:
            raise RewardError(
                "the tokens of the completions are not known here; count in unit: words or characters, or score with "
                "an engine that passes completion_ids"
            )
        if len(completion_ids) != len(completions):
            raise RewardError(f"{len(completion_ids)} lists of tokens for {len(completions)} completions")
        return list(completion_ids)
    found = [completion_text(completion) for completion in completions]
    return list(found) if unit == "characters" else [text.split() for text in found]

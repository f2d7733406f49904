"""Whether a completion has the tags that it should have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from concord.core.errors import ConfigError
from concord.rewards.builtin.options import texts
from concord.rewards.completions import Completion, completion_text


def tag_format(
    completions: Sequence[Completion], *, tags: Sequence[str] = ("think", "answer"), **_: Any
) -> list[float]:
    """1 if a completion is the blocks of ``tags`` in their order and nothing else; 0 if not.

        <think> ... </think> <answer> ... </answer>

    Each opening and each closing tag stands there exactly once, so a tag that is merely spoken of counts as well.
    White space may stand before, between and after the blocks, and a block may be empty. One pass for each tag.

    Args:
        tags: names without brackets, distinct, at least one.

    Range: {0, 1}.  Unjudgeable: none; an empty completion is 0.
    Raises: ConfigError if ``tags`` are not as above.
    Source: the format of DeepSeek-R1-Zero, arXiv:2501.12948 section 2.2.2.

    Example:
        >>> tag_format(["<think>2 + 2</think> <answer>4</answer>", "<answer>4</answer>", "4"])
        [1.0, 0.0, 0.0]
        >>> tag_format(["<answer>4</answer>"], tags=["answer"])
        [1.0]
    """
    if not texts("tags", tags) or len(set(tags)) < len(tags) or not all(_is_name(tag) for tag in tags):
        raise ConfigError(f"tags must be distinct names without brackets or spaces, [think, answer], got {tags!r}")
    return [float(_has_blocks(completion_text(completion), tags)) for completion in completions]


def _is_name(tag: str) -> bool:
    return bool(tag) and not any(character in "<>/" or character.isspace() for character in tag)


def _has_blocks(text: str, tags: Sequence[str]) -> bool:
    end = 0
    for tag in tags:
        opening, closing = f"<{tag}>", f"</{tag}>"
        if text.count(opening) != 1 or text.count(closing) != 1:
            return False
        start, stop = text.index(opening), text.index(closing)
        if start < end or stop < start or text[end:start].strip():
            return False
        end = stop + len(closing)
    return not text[end:].strip()

"""The text of a completion, whichever of TRL's two forms it comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Completion = str | Sequence[Mapping[str, Any]]


def completion_text(completion: Completion) -> str:
    """What the model wrote: the string itself, or the contents of the assistant's messages, joined.

    A message without content (a parsed tool call) counts as empty; of content given in blocks the text blocks count.

    Example:
        >>> completion_text("hello")
        'hello'
        >>> completion_text([{"role": "assistant", "content": "hello"}])
        'hello'
        >>> completion_text([{"role": "assistant", "content": [{"type": "text", "text": "hello"}]}])
        'hello'
    """
    if isinstance(completion, str):
        return completion
    return "".join(
        _content_text(message.get("content")) for message in completion if message.get("role") == "assistant"
    )


def _content_text(content: str | Sequence[Mapping[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(block.get("text") or "" for block in content)

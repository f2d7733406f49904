"""The text of a completion, whichever of TRL's two forms it comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Completion = str | Sequence[Mapping[str, Any]]


def completion_text(completion: Completion) -> str:
    """What the model wrote: the string itself, or the contents of the assistant's messages, joined.

    A message without content (a parsed tool call) counts as empty, and so does what is no message; of content given
    in blocks the text blocks count.

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
    messages = (message for message in completion if isinstance(message, Mapping))
    assistants = (message for message in messages if message.get("role") == "assistant")
    return "".join(_content_text(message.get("content")) for message in assistants)


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    texts = (block.get("text") for block in content if isinstance(block, Mapping)) if isinstance(content, list) else ()
    return "".join(text for text in texts if isinstance(text, str))

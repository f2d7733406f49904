"""What a chat model answered, whichever server or library it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from concord.core.errors import RewardError

REFUSED, EMPTY, CUT = "refused", "empty", "cut"


@dataclass(frozen=True)
class ChatAnswer:
    """The text of an answer, or why it cannot be read.

    Attributes:
        text: what the model said; "" where it said nothing.
        fault: None; ``refused`` where the model or a filter would not answer, ``empty`` where it said nothing,
            ``cut`` where the answer ended at its limit of tokens.
    """

    text: str
    fault: str | None = None


class ChatModel(Protocol):
    """Answers questions: a server, or a model in this process.

    Attributes:
        identity: what its answers depend on beside the question; JSON.
        batch_size: questions that are best asked together.
        waits: whether it waits for somebody else, and never blocks.
    """

    identity: dict[str, Any]
    batch_size: int
    waits: bool

    async def ask(self, questions: Sequence[list[dict[str, str]]]) -> list[ChatAnswer]:
        """One answer for each question, which is a list of messages.

        Raises:
            RewardError: it does not answer.
        """
        ...


def read_completion(reply: Any) -> ChatAnswer:
    """The first choice of a chat completion, in the form that OpenAI's servers have.

    Reasoning that the server keeps apart (``reasoning_content``) is not part of the answer.

    Raises:
        RewardError: the reply is not a chat completion.

    Example:
        >>> read_completion({"choices": [{"message": {"content": "7"}, "finish_reason": "stop"}]})
        ChatAnswer(text='7', fault=None)
        >>> read_completion({"choices": []})
        ChatAnswer(text='', fault='empty')
    """
    choices = reply.get("choices") if isinstance(reply, Mapping) else None
    if not isinstance(choices, list):
        raise RewardError(f"answered what is not a chat completion: {_shortened(reply)}")
    if not choices:
        return ChatAnswer("", EMPTY)
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, Mapping) else None
    if not isinstance(message, Mapping):
        raise RewardError(f"answered a choice without a message: {_shortened(choice)}")
    ended = choice.get("finish_reason")
    if message.get("refusal") or ended == "content_filter":
        return ChatAnswer(_text(message.get("refusal")), REFUSED)
    text = _text(message.get("content"))
    if ended == "length":
        return ChatAnswer(text, CUT)
    return ChatAnswer(text, None if text.strip() else EMPTY)


def _text(content: Any) -> str:
    """The text of a message's content, a string or a list of parts."""
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."

"""The parser that a reward function of verifiers gets where its Rubric has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from concord.rewards.completions import completion_text


class Parser:
    """As verifiers' own ``Parser``: the answer is the text of the assistant's last message."""

    def parse(self, text: str) -> str:
        """The text as it is."""
        return text

    def parse_answer(self, completion: str | Sequence[Mapping[str, Any]]) -> str | None:
        """The text, of messages that of the assistant's last one; None if there is none."""
        if isinstance(completion, str):
            return completion
        said = self.get_assistant_messages(completion)
        return completion_text(said[-1:]) if said else None

    def get_assistant_messages(self, completion: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The assistant's messages."""
        return [message for message in completion if message.get("role") == "assistant"]

"""Prompts and completions as text or as messages, whichever a framework hands to its reward functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from concord.rewards.completions import Completion, completion_text

Messages = list[Mapping[str, Any]]


def prompt_text(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """The string itself, or the text of all messages, each with a newline after it; no chat template is applied.

    Example:
        >>> prompt_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}])
        'Be brief.\\n2 + 2?\\n'
    """
    if isinstance(prompt, str):
        return prompt
    return "".join(completion_text([{**message, "role": "assistant"}]) + "\n" for message in prompt)


def prompt_messages(prompt: str | Sequence[Mapping[str, Any]]) -> Messages:
    """The messages themselves, or the string as the user's."""
    return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)


def completion_messages(completion: Completion) -> Messages:
    """The messages themselves, or the string as the assistant's."""
    return [{"role": "assistant", "content": completion}] if isinstance(completion, str) else list(completion)

"""Policies that ship: small causal language models, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn


class ChatTokens:
    """A tokenizer of a chat model."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.pad_token_id

    def encode(self, text: str) -> list[int]:
        message = [{"role": "user", "content": text}]
        return list(self._tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=False))

    def decode(self, responses: Sequence[Sequence[int]]) -> list[str]:
        texts: list[str] = self._tokenizer.batch_decode(responses, skip_special_tokens=True)
        return texts


def load(folder: Path) -> tuple[nn.Module, ChatTokens]:
    """The model and the tokens of a folder that ``save_pretrained`` wrote."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    return model.train(), ChatTokens(transformers.AutoTokenizer.from_pretrained(folder))

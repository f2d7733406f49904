"""A chat model in this process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from concord.core.errors import ConfigError, MissingExtra, nearest
from concord.rewards.judging.chat_answer import CUT, EMPTY, ChatAnswer

PARAMETERS = {"max_tokens": 256, "batch_size": 8}
"""What can be set, and its value otherwise."""


class LocalChat:
    """Answers with a causal language model: its most likely tokens, so that equal questions have equal answers.

    The model is loaded at once and moved to the accelerator at the first question. It stays in memory beside the
    policy.

    Args:
        model: a folder or a name on the hub; weights in safetensors, no code of its own.
        parameters: ``max_tokens``, tokens of an answer (256); ``batch_size``, questions in one pass (8).

    Raises:
        ConfigError: there is no such checkpoint; a parameter that is not one.
        MissingExtra: transformers is not installed.
    """

    waits = False

    def __init__(self, model: str, *, parameters: Mapping[str, Any] | None = None) -> None:
        given = {**PARAMETERS, **(parameters or {})}
        for name, value in given.items():
            if name not in PARAMETERS:
                known = ", ".join(PARAMETERS)
                raise ConfigError(
                    f"parameters: a model in this process takes {known}, not {name!r}{nearest(name, PARAMETERS)}"
                )
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"parameters: {name} must be a positive whole number, got {value!r}")
        self._limit, self.batch_size = given["max_tokens"], given["batch_size"]
        folder = Path(model).expanduser()
        source = str(folder if folder.is_dir() else model)
        self.identity = {"folder": source, "max_tokens": self._limit}
        self._model, self._tokenizer = _load(source)
        self._placed = False

    async def ask(self, questions: Sequence[list[dict[str, str]]]) -> list[ChatAnswer]:
        """One answer for each question; blocks while the model computes."""
        answers: list[ChatAnswer] = []
        for start in range(0, len(questions), self.batch_size):
            answers += self._answer([self._text(messages) for messages in questions[start : start + self.batch_size]])
        return answers

    def _text(self, messages: list[dict[str, str]]) -> str:
        if self._tokenizer.chat_template is None:
            return "\n\n".join(message["content"] for message in messages)
        text: str = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return text

    @torch.inference_mode()
    def _answer(self, texts: list[str]) -> list[ChatAnswer]:
        if not self._placed:  # not sooner: accelerate chooses a process's device after the rewards are built
            accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
            self._model.to(accelerator or torch.device("cpu"))
            self._placed = True
        templated = self._tokenizer.chat_template is not None
        batch = self._tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=not templated)
        tokens = self._model.generate(**batch.to(self._model.device), max_new_tokens=self._limit, do_sample=False)
        return [self._read(row) for row in tokens[:, batch["input_ids"].shape[1] :].tolist()]

    def _read(self, tokens: list[int]) -> ChatAnswer:
        ends = self._model.generation_config.eos_token_id
        ended = any(token in (ends if isinstance(ends, list) else [ends]) for token in tokens)
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return ChatAnswer(text, CUT if not ended else None if text.strip() else EMPTY)


def _load(source: str) -> tuple[Any, Any]:
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    except ImportError as error:
        raise MissingExtra.of("train", "transformers") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False, padding_side="left")
        model = AutoModelForCausalLM.from_pretrained(
            source, trust_remote_code=False, use_safetensors=True, dtype="auto"
        )
    except Exception as error:  # of many types, from missing files to unknown architectures
        first = str(error).partition("\n")[0]
        raise ConfigError(
            f"judge {source!r}: no folder or hub name that can be loaded as a causal language model in safetensors: "
            f"{type(error).__name__}: {first} (a model behind a server needs its url)"
        ) from error
    ends = model.generation_config.eos_token_id
    ends = tokenizer.eos_token_id if ends is None else ends
    if ends is None:
        raise ConfigError(f"judge {source!r}: its tokenizer has no end-of-text token, so its answers never end")
    if tokenizer.pad_token is None:
        tokenizer.pad_token_id = ends[0] if isinstance(ends, list) else ends
    # What the checkpoint says of sampling does not hold here, and would be warned of.
    model.generation_config = GenerationConfig(eos_token_id=ends, pad_token_id=tokenizer.pad_token_id)
    return model.eval(), tokenizer

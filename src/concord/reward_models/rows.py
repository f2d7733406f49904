"""Pairs as the trainer takes them: tokens, and what the penalties read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from concord.core.errors import ConfigError
from concord.reward_models.batch import BIAS, LENGTH
from concord.reward_models.pairs import Pair

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

_log = logging.getLogger(__name__)


def tokenised(
    pairs: Sequence[Pair],
    tokenizer: PreTrainedTokenizerBase,
    labels: Mapping[str, Sequence[int]],
    max_length: int | None = None,
) -> Dataset:
    """A data set with ``chosen_ids``, ``rejected_ids``, ``length_difference`` and ``bias/<name>``.

    A prompt of messages goes through the chat template with the answer as the assistant's message. To a prompt of
    text the answer is appended, and the tokenizer adds the special tokens that it puts around every text. So does
    :class:`concord.rewards.model.RewardModel` when it scores, which is what matters. (TRL also appends the end token
    to text.)

    Args:
        pairs: in the order of the rows.
        tokenizer: of the model.
        labels: for every bias a label a pair.
        max_length: pairs of which an answer has more tokens, prompt included, are left out, with a warning.

    Raises:
        ConfigError: messages and no chat template; an answer of no tokens; every pair is too long.
    """
    from datasets import Dataset

    rows = []
    for number, pair in enumerate(pairs):
        chosen, rejected = (_tokens(tokenizer, pair, answer) for answer in (pair.chosen, pair.rejected))
        if not chosen or not rejected:
            raise ConfigError(f"pair {number}: prompt and answer together have no tokens")
        if max_length is None or max(len(chosen), len(rejected)) <= max_length:
            biases = {BIAS + name: values[number] for name, values in labels.items()}
            rows.append({"chosen_ids": chosen, "rejected_ids": rejected, LENGTH: float(pair.longer), **biases})
    if not rows:
        raise ConfigError(f"all {len(pairs)} pairs are longer than {max_length} tokens; set engine.max_length")
    if len(rows) < len(pairs):
        _log.warning("left out %d of %d pairs longer than %s tokens", len(pairs) - len(rows), len(pairs), max_length)
    return Dataset.from_list(rows)


def _tokens(tokenizer: Any, pair: Pair, answer: str) -> list[int]:
    if isinstance(pair.prompt, str):
        return list(tokenizer(pair.prompt + answer, verbose=False)["input_ids"])
    if not tokenizer.chat_template:
        raise ConfigError(
            "the prompts are messages and the model's tokenizer has no chat template; give one as chat_template, the "
            "text of a template or a path that ends in .jinja"
        )
    text = tokenizer.apply_chat_template([*pair.prompt, {"role": "assistant", "content": answer}], tokenize=False)
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

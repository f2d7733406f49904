"""What a policy's whole distribution at each response token says, from the states before its head."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from concord.core.errors import ConfigError
from concord.engines.facts import Fact

TILE = 1024
"""Tokens whose distributions are in memory at a time."""

_SCALED = {
    "final_logit_softcapping": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
    "output_multiplier": 1.0,
}
"""Keys of configurations of models that change their logits after the head, with the values that change nothing."""


def check_head(model: Any) -> None:
    """Refuse a model whose head does not tell its distribution.

    Raises:
        ConfigError: its configuration says that logits are scaled or capped after the head.
    """
    text = model.config.get_text_config()
    for key, nothing in _SCALED.items():
        if getattr(text, key, None) not in (None, nothing):
            raise ConfigError(
                f"{type(model).__name__} changes its logits after its head ({key}): what a method asks of its "
                "distribution would be that of another policy"
            )


class Distributions:
    """Log-probabilities over the vocabulary, a tile of tokens at a time; without gradient.

    Args:
        model: a causal language model of transformers, unwrapped, that :func:`check_head` lets pass.
        temperature: that its logits are divided by.
        float32: whether the head computes in float32, outside autocast.
    """

    def __init__(self, model: Any, temperature: float, *, float32: bool) -> None:
        self._model, self._temperature, self._float32 = model, temperature, float32

    def tiles(self, states: Tensor) -> Iterator[Tensor]:
        """``[n, V]`` float32, n <= TILE, one after the other: from the states ``[tokens, H]`` before the tokens."""
        head = self._model.get_output_embeddings()
        for start in range(0, len(states), TILE):
            tile = states[start : start + TILE]
            apart = torch.autocast(tile.device.type, enabled=False) if self._float32 else nullcontext()
            with torch.no_grad(), apart:
                # As a module, in the midst of the forward pass: sharded weights are together then.
                logits: Tensor = head(tile.float() if self._float32 else tile)
                distribution = (logits.float() / self._temperature).log_softmax(1)
            yield distribution  # outside of no_grad, which would be the consumer's too

    def facts(self, states: Tensor, ids: Tensor, wanted: Mapping[str, Fact]) -> dict[str, Tensor]:
        """Each fact, ``[b, T]``: from the states ``[b, T, H]`` before the tokens ``[b, T]``."""
        found: dict[str, list[Tensor]] = {name: [] for name in wanted}
        for distribution, tokens in zip(
            self.tiles(states.flatten(0, 1)), torch.split(ids.flatten(), TILE), strict=True
        ):
            for name, fact in wanted.items():
                found[name].append(fact(distribution, tokens))
        return {name: torch.cat(parts).view(ids.shape) for name, parts in found.items()}

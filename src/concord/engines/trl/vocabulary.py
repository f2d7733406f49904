"""What a policy's whole distribution at each response token says, from the states before its head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from concord.core.errors import ConfigError

_SCALED = {
    "final_logit_softcapping": None,
    "logit_scale": 1.0,
    "logits_scaling": 1.0,
    "lm_head_multiplier": 1.0,
    "output_multiplier": 1.0,
}
"""Keys of configurations of models that change their logits after the head, with the values that change nothing."""

Look = Callable[[Tensor], None]
"""Is shown the last hidden states ``[b, P + T, H]`` of each forward pass."""


class Distributions:
    """Log-probabilities over the vocabulary, row by row: a row's ``[T, V]`` is in memory at a time, no batch's.

    Args:
        model: a causal language model of transformers, unwrapped.
        temperature: that its logits are divided by.

    Raises:
        ConfigError: its configuration says that logits are scaled or capped after the head.
    """

    def __init__(self, model: Any, temperature: float) -> None:
        text = model.config.get_text_config()
        for key, nothing in _SCALED.items():
            if getattr(text, key, None) not in (None, nothing):
                raise ConfigError(
                    f"{type(model).__name__} changes its logits after its head ({key}): what a method asks of its "
                    "distribution would be that of another policy"
                )
        self._model, self._temperature = model, temperature

    def rows(self, states: Tensor) -> Iterator[Tensor]:
        """Row by row ``[T, V]`` float32, without gradient: from the states ``[b, T, H]`` before the tokens."""
        head = self._model.get_output_embeddings()
        for row in states:
            with torch.no_grad():
                # As a module, in the midst of the forward pass: sharded weights are together then.
                yield (head(row).float() / self._temperature).log_softmax(1)


@contextmanager
def watching(model: Any, look: Look) -> Iterator[None]:
    """Show what comes out of a model's backbone within, forward pass by forward pass; without gradient."""

    def hook(_: nn.Module, __: Any, output: Any) -> None:
        look(output[0].detach())

    handle = backbone(model).register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def before(states: Tensor, width: int) -> Tensor:
    """The states that the last ``width`` tokens were sampled from: ``[b, P + T, H] -> [b, T, H]``."""
    return states[:, -width - 1 : -1]


def backbone(model: Any) -> nn.Module:
    """The part of a causal language model whose first output is the last hidden states.

    Raises:
        ConfigError: it does not show which that is.
    """
    if hasattr(model, "get_base_model"):  # an adapter of PEFT's is around it
        model = model.get_base_model()
    found: nn.Module | None = model.get_decoder() if hasattr(model, "get_decoder") else None
    if found is None or found is model:
        raise ConfigError(f"{type(model).__name__} does not show the backbone that its hidden states come from")
    return found

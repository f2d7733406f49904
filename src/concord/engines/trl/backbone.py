"""The states that a causal language model computes before its head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from concord.core.errors import ConfigError


@contextmanager
def watching(model: Any, look: Callable[[Tensor], None]) -> Iterator[None]:
    """Show what comes out of a model's backbone within, ``[b, P + T, H]`` a forward pass, without gradient."""

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

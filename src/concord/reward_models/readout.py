"""The states that a sequence-classification model reads its reward from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from concord.core.errors import ConfigError


class Readout:
    """Catches, in every forward pass, what goes into the linear layer whose one output is the reward.

    For a decoder that is the last hidden layer at the last token that is not padding (DIR's h); for an encoder with a
    pooler it is the pooled vector. Nothing is computed twice, and no other layer's states are kept.

    Args:
        model: a sequence-classification model of one output, LoRA-wrapped or not.

    Raises:
        ConfigError: the model has no linear layer of one output.
    """

    def __init__(self, model: nn.Module) -> None:
        heads = [module for module in model.modules() if isinstance(module, nn.Linear) and module.out_features == 1]
        if not heads:
            raise ConfigError(f"{type(model).__name__} has no linear layer of one output to read a reward from")
        self._head = heads[-1]  # a gate inside the backbone may have one output too; the head is registered after it
        self._head.register_forward_pre_hook(self._catch)
        self._caught: Tensor | None = None
        self._checked = False

    @property
    def width(self) -> int:
        """Entries of a state."""
        return int(self._head.in_features)

    def take(self, input_ids: Tensor, pad: int | None, logits: Tensor) -> Tensor:
        """The states ``[B, H]`` of the forward pass that has just been made, with their graph.

        Args:
            input_ids: ``[B, T]``, that pass's.
            pad: the padding token that the model's configuration names.
            logits: ``[B, 1]``, that pass's; in the first call it is checked that they come from the states.

        Raises:
            ConfigError: they do not, so the model reads its reward in a way that is not known here.
        """
        states, self._caught = self._caught, None
        if states is None:
            raise ConfigError("the model's head was not run in this forward pass")
        if states.ndim == 3:
            states = states[torch.arange(len(states), device=states.device), last_tokens(input_ids, pad)]
        if not self._checked:
            self._check(states, logits)
        return states

    def _catch(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        self._caught = arguments[0]

    def _check(self, states: Tensor, logits: Tensor) -> None:
        weight, bias = self._head.weight.detach(), self._head.bias
        if weight.numel():  # ZeRO-3 holds its parts elsewhere
            states, logits = states.detach().float(), logits.detach().float()
            again = states @ weight.float().T + (0 if bias is None else bias.detach().float())
            rounding = 0.02 * (states.abs() @ weight.float().abs().T) + 1e-3
            if not bool(((again - logits).abs() <= rounding).all()):
                raise ConfigError(
                    "the model's rewards are not its head's output at the last token that is not padding; DIR needs "
                    "the state that the reward is read from"
                )
        self._checked = True


def last_tokens(input_ids: Tensor, pad: int | None) -> Tensor:
    """Where each row's last token stands that is not padding, ``[B, T] -> [B]``: the rule of transformers' models.

    Example:
        >>> last_tokens(torch.tensor([[5, 6, 0], [5, 6, 7], [0, 5, 6]]), 0).tolist()
        [1, 2, 2]
    """
    if pad is None:
        return torch.full((len(input_ids),), input_ids.shape[1] - 1, device=input_ids.device)
    places = torch.arange(input_ids.shape[1], device=input_ids.device)
    return (places * (input_ids != pad)).argmax(1)

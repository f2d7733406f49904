"""What a learner must remember, as named tensors: made for safetensors."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.optim import Optimizer

from concord.core.errors import ConfigError

_MODULE, _OPTIMIZER = "module.", "optimizer."


def pack(module: nn.Module, optimizer: Optimizer) -> dict[str, Tensor]:
    """Weights and the optimiser's moments, copied; what the optimiser was configured with is not in it."""
    tensors = {_MODULE + name: value.clone() for name, value in module.state_dict().items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"{_OPTIMIZER}{index}.{name}": value.clone() for name, value in moments.items()}
    return tensors


def unpack(tensors: Mapping[str, Tensor], module: nn.Module, optimizer: Optimizer) -> None:
    """Put back what :func:`pack` gave; names that are not its own are left alone.

    Raises:
        ConfigError: the tensors are those of another module, or some are missing.
    """
    weights = {name.removeprefix(_MODULE): value for name, value in tensors.items() if name.startswith(_MODULE)}
    own = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    if (found := {name: tuple(value.shape) for name, value in weights.items()}) != own:
        raise ConfigError(f"the checkpoint's learner has weights {found}, this run's has {own}; give it the same sizes")
    moments: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(_OPTIMIZER):
            index, moment = name.removeprefix(_OPTIMIZER).split(".")
            # Without the copy the optimiser would go on in the caller's tensors.
            moments.setdefault(int(index), {})[moment] = value.clone()
    module.load_state_dict(weights)
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})

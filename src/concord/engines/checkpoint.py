"""State beside an engine's own checkpoint, without pickling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from concord.core.durable import whole_file
from concord.core.errors import ConfigError


def save(path: Path, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, numbers, strings, None and tensors.

    The tensors go to safetensors, the shape of the tree into the file's header as JSON.

    Raises:
        ConfigError: something else stands in the tree, such as a stage's state of a type of its own.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}

    def plain(node: Any) -> Any:
        if isinstance(node, Tensor):
            tensors[f"{len(tensors)}"] = node.detach().cpu().clone().contiguous()
            return {"tensor": str(len(tensors) - 1), "device": node.device.type}
        if isinstance(node, dict):
            return {"dict": [[plain(key), plain(value)] for key, value in node.items()]}
        if isinstance(node, list | tuple):
            return {type(node).__name__: [plain(value) for value in node]}
        if node is None or isinstance(node, bool | int | float | str):
            return {"value": node}
        raise ConfigError(
            f"cannot checkpoint a {type(node).__name__}; a stage's state is made of tensors, numbers, strings, "
            "None, lists, tuples and dicts"
        )

    header = json.dumps(plain(tree))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as place:
        save_file(tensors, place, metadata={"tree": header})


def load(path: Path, device: Any = "cpu") -> Any:
    """Read what :func:`save` wrote; tensors that were on an accelerator go to ``device``."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:

        def rich(node: dict[str, Any]) -> Any:
            if "tensor" in node:
                tensor = file.get_tensor(node["tensor"])
                return tensor if node["device"] == "cpu" else tensor.to(device)
            if "dict" in node:
                return {rich(key): rich(value) for key, value in node["dict"]}
            if "list" in node:
                return [rich(value) for value in node["list"]]
            if "tuple" in node:
                return tuple(rich(value) for value in node["tuple"])
            return node["value"]

        return rich(json.loads(file.metadata()["tree"]))

"""The engine's own state beside TRL's checkpoint, without pickling."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from concord.core.errors import ConfigError, RunFolderError


def save(path: Path, tree: Any) -> None:
    """Write a tree of dicts, lists, tuples, numbers, strings, None and tensors.

    The tensors go to safetensors, the shape of the tree into the file's header as JSON.

    Raises:
        ConfigError: something else stands in the tree, such as a stage's state of a type of its own.
    """
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
    save_file(tensors, path, metadata={"tree": header})


def load(path: Path, device: Any = "cpu") -> Any:
    """Read what :func:`save` wrote; tensors that were on an accelerator go to ``device``."""
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


def last_complete(folder: str) -> str:
    """The newest checkpoint that was written to its end; a killed run may leave a torn one behind it.

    Raises:
        RunFolderError: there is none.
    """
    found = sorted(
        Path(folder).glob(f"{PREFIX_CHECKPOINT_DIR}-*"), key=lambda path: path.name.rpartition("-")[2].zfill(12)
    )
    for path in reversed(found):
        if step_of(str(path)) is not None:
            return str(path)
    raise RunFolderError(f"no complete checkpoint in {folder} ({len(found)} torn); start without resuming")


def step_of(checkpoint: str) -> int | None:
    """The step at which a checkpoint was written; None if it is torn. The trainer's state comes last."""
    try:
        state = json.loads(Path(checkpoint, TRAINER_STATE_NAME).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return int(state["global_step"])

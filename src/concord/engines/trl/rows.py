"""Rows of a batch: leaving some out, cutting the padding, putting others in."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.utils import split_pixel_values_by_grid, unsplit_pixel_values_by_grid

from concord.engines.contract import MULTIMODAL

Batch = dict[str, Any]
"""TRL's batch: tensors and lists whose first dimension is the rollout, and 0-d tensors."""

_PROMPT = ("prompt_ids", "prompt_mask")


def loss_mask(batch: Batch) -> Tensor:
    """``[B, T]`` bool: the tokens that the policy sampled, and that count."""
    mask: Tensor = batch["completion_mask"].bool()
    return mask & batch["tool_mask"].bool() if "tool_mask" in batch else mask


def matter(batch: Batch, every: bool) -> Tensor:
    """``[B]`` bool: the rows that add to the gradient, and so are worth a forward pass.

    A dropped row adds nothing. Nor does one whose advantage is exactly 0, unless the loss acts on ``every`` kept one.
    """
    there: Tensor = batch["keep"] & loss_mask(batch).any(1)
    pushed = batch["advantages"] != 0
    return there if every else there & (pushed if pushed.ndim == 1 else pushed.any(1))


def take(batch: Batch, rows: Tensor) -> Batch:
    """The batch of these rows, a bool ``[B]``. Images go with their row, however they are laid out."""
    places = rows.nonzero()[:, 0]

    def of(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[places] if value.ndim else value
        return [value[i] for i in places.tolist()]

    split = split_pixel_values_by_grid(batch)
    taken: Batch = unsplit_pixel_values_by_grid({k: of(v) for k, v in split.items() if v is not None})
    return taken


def chosen(batch: Batch, rows: Tensor) -> Batch:
    """The batch of these rows, with "loss_mask" ``[B, T]`` bool.

    If there are none it is the cheapest row, with a mask without a token: its gradient is exactly 0.
    That pass is made because under DDP, FSDP and DeepSpeed the other processes wait for this one's
    part in theirs.
    """
    if rows.any():
        taken = take(batch, rows)
        return taken | {"loss_mask": loss_mask(taken)}
    shortest = torch.zeros_like(rows)
    shortest[batch["prompt_mask"].sum(1).argmin()] = True
    row = take(batch, shortest)
    nothing = torch.zeros_like(row["completion_mask"])
    return row | {"completion_mask": nothing, "loss_mask": nothing.bool()}


def trim(batch: Batch, *, prompts: bool, multiple: int | None = None) -> Batch:
    """Cut columns that hold nothing but padding, after the responses and before the prompts.

    Args:
        batch: without images; with them it is returned as it is.
        prompts: whether to cut before the prompts too. That moves the positions, and is the same
            computation only where they are relative (rotary embeddings).
        multiple: the widths stay multiples of it.
    """
    if any(key in batch for key in MULTIMODAL):
        return batch
    P, T = batch["prompt_ids"].shape[1], batch["completion_ids"].shape[1]
    start = P - _width(batch["prompt_mask"].flip(1), multiple) if prompts else 0
    end = _width(batch["completion_mask"], multiple)

    def cut(key: str, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.ndim < 2:
            return value
        if key in _PROMPT:
            return value[:, start:]
        return value[:, :end] if value.shape[1] == T else value  # a weight per response is [B, 1]

    return {key: cut(key, value) for key, value in batch.items()}


def splice(batch: Batch, fresh: Batch, to: Tensor, source: Tensor, pad_id: int) -> Batch:
    """Put rows ``source`` of a fresh batch in the place of rows ``to``; both are padded to one width."""

    def put(key: str) -> Any:
        old, new = batch[key], fresh[key]
        if not old.ndim:
            return old
        if old.ndim > 1:
            width = max(old.shape[1], new.shape[1])
            old, new = (widen(key, value, width, pad_id) for value in (old, new))
        spliced = old.clone()
        spliced[to] = new[source]
        return spliced

    return {key: put(key) for key in batch}


def widen(key: str, value: Tensor, width: int, pad_id: int) -> Tensor:
    """Pad to a width as TRL does: prompts on the left, responses on the right."""
    fill = pad_id if key.endswith("_ids") else 1 if key == "tool_mask" else 0
    pad = value.new_full((value.shape[0], width - value.shape[1], *value.shape[2:]), fill)
    return torch.cat([pad, value] if key in _PROMPT else [value, pad], 1)


def _width(mask: Tensor, multiple: int | None) -> int:
    """Columns up to the last one in use, at least one."""
    used = mask.any(0).nonzero()
    width = int(used.max()) + 1 if len(used) else 1
    return width if multiple is None else -(-width // multiple) * multiple

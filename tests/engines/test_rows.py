"""Rows in and out of a batch, whatever hangs on them."""

from __future__ import annotations

from typing import Any

import torch

from concord.engines.trl import rows


def batch(**more: Any) -> dict[str, Any]:
    """Three rows: prompts of 1, 2 and 3 tokens on the right, responses of 4, 1 and 2 on the left."""
    return {
        "prompt_ids": torch.tensor([[0, 0, 0, 5], [0, 0, 6, 6], [0, 7, 7, 7]]),
        "prompt_mask": torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [0, 1, 1, 1]]),
        "completion_ids": torch.tensor([[8, 8, 8, 8, 0], [9, 0, 0, 0, 0], [4, 4, 0, 0, 0]]),
        "completion_mask": torch.tensor([[1, 1, 1, 1, 0], [1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]),
        "advantages": torch.tensor([1.0, 0.0, -1.0]),
        "keep": torch.tensor([True, True, False]),
        "num_items_in_batch": torch.tensor(7),
        **more,
    }


def test_which_rows_matter() -> None:
    assert rows.matter(batch(), every=False).tolist() == [True, False, False]
    assert rows.matter(batch(), every=True).tolist() == [True, True, False]
    masked = batch(tool_mask=torch.tensor([[0, 0, 0, 0, 1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]]))
    assert rows.matter(masked, every=True).tolist() == [False, True, False]


def test_images_go_with_their_row() -> None:
    """Patches of all images lie in one tensor; the second row has none, the third two."""
    grid = torch.tensor([[1, 2, 2], [1, 1, 2], [1, 1, 1]])
    full = batch(pixel_values=torch.arange(7.0)[:, None], image_grid_thw=grid, num_images=[1, 0, 2])
    taken = rows.take(full, torch.tensor([False, True, True]))
    assert taken["pixel_values"][:, 0].tolist() == [4.0, 5.0, 6.0]
    assert taken["image_grid_thw"].tolist() == grid[1:].tolist()
    assert taken["num_images"] == [0, 2]
    assert int(taken["num_items_in_batch"]) == 7
    assert rows.trim(taken, prompts=True) is taken, "positions of image tokens are not ours to move"


def test_trim() -> None:
    full = batch(per_token=torch.ones(3, 5), per_response=torch.ones(3, 1))
    cut = rows.trim(rows.take(full, torch.tensor([False, True, True])), prompts=True)
    assert cut["prompt_ids"].tolist() == [[0, 6, 6], [7, 7, 7]]
    assert cut["completion_ids"].tolist() == [[9, 0], [4, 4]]
    assert cut["per_token"].shape == (2, 2)
    assert cut["per_response"].shape == (2, 1)
    wide = rows.trim(full, prompts=False, multiple=5)
    assert wide["prompt_ids"].shape == (3, 4)
    assert wide["completion_ids"].shape == (3, 5)


def test_a_batch_without_rows_that_matter_is_one_short_row() -> None:
    idle = rows.trim(rows.chosen(batch(), torch.zeros(3, dtype=torch.bool)), prompts=True)
    assert idle["prompt_ids"].tolist() == [[5]]
    assert idle["completion_ids"].shape == (1, 1)
    assert not idle["loss_mask"].any()


def test_splice_pads_to_the_wider() -> None:
    fresh = {
        "prompt_ids": torch.tensor([[1, 2, 3, 4, 5, 6]]),
        "prompt_mask": torch.ones(1, 6, dtype=torch.long),
        "completion_ids": torch.tensor([[3]]),
        "completion_mask": torch.tensor([[1]]),
        "advantages": torch.tensor([9.0]),
        "keep": torch.tensor([True]),
        "num_items_in_batch": torch.tensor(1),
        "tool_mask": torch.tensor([[1]]),
    }
    old = batch(tool_mask=torch.zeros(3, 5, dtype=torch.long))
    spliced = rows.splice(old, fresh, torch.tensor([1]), torch.tensor([0]), pad_id=7)
    assert spliced["prompt_ids"].tolist() == [[7, 7, 0, 0, 0, 5], [1, 2, 3, 4, 5, 6], [7, 7, 0, 7, 7, 7]]
    assert spliced["completion_ids"][1].tolist() == [3, 7, 7, 7, 7]
    assert spliced["completion_mask"][1].tolist() == [1, 0, 0, 0, 0]
    assert spliced["tool_mask"].tolist() == [[0] * 5, [1] * 5, [0] * 5]
    assert spliced["advantages"].tolist() == [1.0, 9.0, -1.0]
    assert old["prompt_ids"].shape == (3, 4), "the batch handed in is as it was"

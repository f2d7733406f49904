"""Batches as verl's trainers hold them."""

from __future__ import annotations

import numpy as np
import torch

REWARDS = ("correctness", "format", "length")


def rollouts(prompts: int = 6, size: int = 4, width: int = 7, seed: int = 0):
    """Scores ``[N, K]``, uids and a response mask; every group has a signal in every reward."""
    random = np.random.default_rng(seed)
    count = prompts * size
    scores = np.stack(
        [random.normal(size=count) * 3, random.normal(size=count), random.uniform(size=count)], axis=1
    ).astype(np.float32)
    uids = [f"prompt{index}" for index in range(prompts) for _ in range(size)]
    lengths = torch.tensor(random.integers(1, width + 1, size=count))
    mask = (torch.arange(width) < lengths[:, None]).long()
    order = random.permutation(count)  # verl balances batches, and mixes them up with that
    return scores[order], [uids[index] for index in order], mask[order]


def proto(scores, uids, mask, prompt_width: int = 5):
    """A ``DataProto`` as the legacy trainer hands it to ``compute_advantage``."""
    from tensordict import TensorDict
    from verl import DataProto

    count, width = mask.shape
    prompts = torch.ones(count, prompt_width, dtype=torch.long)
    rewards = torch.zeros(count, width)
    rewards[torch.arange(count), (mask.sum(1) - 1).clamp(min=0)] = torch.tensor(scores.sum(1))
    batch = TensorDict(
        {
            "prompts": prompts,
            "responses": torch.ones(count, width, dtype=torch.long),
            "attention_mask": torch.cat([prompts, mask], 1),
            "response_mask": mask,
            "token_level_rewards": rewards,
            "token_level_scores": rewards,
        },
        batch_size=count,
    )
    columns = {name: scores[:, index] for index, name in enumerate(REWARDS)}
    return DataProto(batch=batch, non_tensor_batch={"uid": np.array(uids, dtype=object), **columns})

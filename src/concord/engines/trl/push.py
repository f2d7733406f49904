"""What a chain hands to the loss, on its way through TRL's batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.signal import Outcome
from concord.engines.trl.rows import Batch, loss_mask
from concord.objectives import Objective, PolicyBatch

_COLUMN = "concord/"
"""Before the name of a column, so that none is taken for one of TRL's keys."""


def keys(outcome: Outcome, groups: Groups, mine: Tensor, width: int, reads: frozenset[str]) -> Batch:
    """What TRL's batch is to carry for this process's rows; it survives the shuffle and the split into micro-batches.

    Args:
        outcome: of all processes' rollouts.
        groups: theirs.
        mine: the places of this process's rollouts, int64.
        width: response tokens in this process's batch; that of all processes may be wider.
        reads: the columns that the loss reads.
    """
    push = outcome.push.take(mine).cut(width)
    columns = {_COLUMN + name: push.columns[name] for name in reads}
    return {"advantages": push.advantages, "keep": outcome.keep[mine], "groups": groups.index[mine]} | columns


def policy_batch(batch: Batch, logp: Tensor, objective: Objective, statistics: Mapping[str, Tensor]) -> PolicyBatch:
    """The micro-batch that the loss reads."""
    old = batch.get("old_per_token_logps")  # absent where the policy has not moved since
    return PolicyBatch(
        logp,
        logp.detach() if old is None else old,
        batch["advantages"],
        batch["loss_mask"],
        batch.get("ref_per_token_logps"),
        batch.get("importance_sampling_ratio"),
        {name: batch[_COLUMN + name] for name in objective.reads},
        batch["groups"],
        **{name: statistics[name] for name in objective.statistics},
    )


def response_mask(batch: Batch, accelerator: Any) -> Tensor:
    """``[N, T]`` bool, of the rollouts of all processes: the tokens that the policy sampled, and that count."""
    # Padding would turn a bool into int64 on those processes only whose responses are shorter.
    return gathered(loss_mask(batch).long(), accelerator).to(torch.bool)


def gathered(tokens: Tensor, accelerator: Any) -> Tensor:
    """``[N, T, ...]``, of the rollouts of all processes: from this process's ``[B, t, ...]``, 0 beyond its width."""
    found: Tensor = accelerator.gather(accelerator.pad_across_processes(tokens, dim=1))
    return found

"""Columns on their way from the batch to the loss."""

from __future__ import annotations

import pytest
import torch

from concord import Chain, Method
from concord.core.errors import ConfigError, MissingColumn
from concord.objectives import MixedPolicy, PolicyObjective
from concord.stages import Carry, GroupNormalize, Sum
from tests.batches import make_batch


def test_the_loss_gets_the_column_and_the_advantages_are_the_same() -> None:
    batch, _ = make_batch(missing=0.2)
    plain = Chain((Sum(), GroupNormalize()))
    outcome = Chain((*plain.stages, Carry(("lengths",))))(batch)
    assert torch.equal(outcome.push.columns["lengths"], batch.columns["lengths"])
    assert torch.equal(outcome.advantages, plain(batch).advantages)
    assert torch.equal(outcome.keep, plain(batch).keep)


def test_it_makes_a_method_of_a_loss_that_reads_a_column() -> None:
    """HeRL's: GRPO's advantages and the mixed loss."""
    objective = PolicyObjective(surrogate=MixedPolicy())
    with pytest.raises(ConfigError, match="revised"):
        Method(Chain((Sum(), GroupNormalize())), objective)
    method = Method(Chain((Sum(), GroupNormalize(), Carry(("revised",)))), objective)
    assert method.needs == {"revised"}
    assert Chain.from_config(method.signal.to_config()) == method.signal
    batch, _ = make_batch()
    with pytest.raises(MissingColumn, match="'carry' needs columns"):
        method.signal(batch)


@pytest.mark.parametrize("columns", [(), "revised"])
def test_columns_are_a_tuple_of_names(columns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="tuple of names"):
        Carry(columns)

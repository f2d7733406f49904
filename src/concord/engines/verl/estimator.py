"""verl's legacy trainer: the registry's "gdpo" entry, the only one that is handed the named rewards."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from concord.core.catalogue import info
from concord.core.errors import ConfigError, RewardError, nearest
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.engines.scored import from_columns
from concord.engines.settings import Settings
from concord.engines.verl.settings import ESTIMATOR, plain, read

LEGACY = "gdpo"
"""``algorithm.adv_estimator`` under the legacy trainer."""


def legacy(native: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., tuple[Tensor, Tensor]]:
    """An entry for verl's registry: Concord's method where ``algorithm.concord`` names one, else verl's own GDPO.

    Args:
        native: the entry that it replaces.
    """

    @functools.wraps(native)
    def estimate(**handed: Any) -> tuple[Tensor, Tensor]:
        section = {} if handed.get("config") is None else handed["config"].get("concord", None)
        if not section:
            return native(**handed)
        columns = handed.get("non_tensor_batch")
        if columns is None:
            raise ConfigError(f"verl handed over no named rewards; write algorithm.adv_estimator={LEGACY}")
        return advantages(
            _settings(json.dumps(plain(section))), columns, handed["index"].tolist(), handed["response_mask"]
        )

    return estimate


def advantages(
    settings: Settings, columns: Mapping[str, Any], uids: list[Any], response_mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Advantages and returns, each ``[rows, T]``, from the columns of a ``DataProto``.

    Rows without a token of the policy's are those that verl adds to fill a batch up; they copy another row's
    rewards, and take no part.
    """
    names = settings.rewards
    for name in names:
        if name not in columns:
            raise RewardError(
                f"compute_score returned no {name!r} in the first rollout, whose keys verl takes; the batch has "
                f"{', '.join(map(repr, columns))}" + nearest(name, columns)
            )
    lengths = response_mask.sum(1)
    rewards = from_columns({name: columns[name].tolist() for name in names})
    rewards = torch.where((lengths > 0)[:, None].to(rewards.device), rewards, torch.nan)
    batch = Rollouts(
        rewards.to(response_mask.device), Groups.of(uids), names, {"lengths": lengths}, settings.noise_floor
    )
    outcome = settings.build().signal(batch)
    spread = outcome.advantages[:, None] * response_mask
    return spread, spread


@functools.cache
def _settings(section: str) -> Settings:
    """Checked once a run; the estimator is called at every step, with the configuration and nothing else."""
    settings = read({"concord": json.loads(section)})
    method = settings.build()
    for missing, there in (
        ("bring the loss that makes the method", info(settings.method).kind == "loss"),
        ("tell it which rollouts were cut off", "truncated" in method.needs),
        ("keep its state", any(entry is not None for entry in method.signal.init())),
        ("take its dropped rollouts out of the loss's denominators", not method.count_dropped),
    ):
        if there:
            raise ConfigError(
                f"algorithm.concord: method {settings.method!r}: the legacy trainer cannot {missing}; write "
                f"trainer.use_v1=True trainer.v1.trainer_mode=concord_sync algorithm.adv_estimator={ESTIMATOR}"
            )
    return settings


def misplaced(**_: Any) -> tuple[Tensor, Tensor]:
    """The entry under "concord" until a Concord trainer takes its place for a step.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"algorithm.adv_estimator={ESTIMATOR} needs trainer.v1.trainer_mode=concord_sync; "
        f"the legacy trainer takes algorithm.adv_estimator={LEGACY}"
    )

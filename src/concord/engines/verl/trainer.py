"""verl's V1 trainers with Concord's advantages and loss."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.core.signal import Outcome
from concord.engines import checkpoint
from concord.engines.scored import named_rewards
from concord.engines.signal import StepSignal
from concord.engines.verl import loss
from concord.engines.verl.check import check
from concord.engines.verl.rows import Sessions
from concord.engines.verl.settings import ESTIMATOR, plain, read

STATE = "concord.safetensors"
"""The file of the chain's state, in verl's ``global_step_*``."""


class ConcordMixin:
    """What stands before one of verl's V1 trainers; everything else of a step is verl's.

    - The advantages are those of the method in ``algorithm.concord``, over the rollouts of one step (of an asynchronous
      trainer with ``parameter_sync_step``: of one part of it). verl's rollout correction comes before them, as it does
      for verl's own: a rejected token does not count as length.
    - The actor's loss is the method's; ``kl_loss`` and the entropy bonus are verl's and are added to it.
    - Validation is verl's: it shows every number in ``compute_score``'s dict.
    - The chain's state is in each checkpoint.

    Attributes:
        native: verl's name of the trainer that it stands before.

    Raises:
        ConfigError: as :func:`concord.engines.verl.settings.read` and :func:`concord.engines.verl.check.check`.
    """

    native: str
    config: Any
    global_steps: int

    def __init__(self, config: Any) -> None:
        from omegaconf import open_dict

        settings = read(config.algorithm)
        self._signal = StepSignal(settings)
        check(plain(config), self._signal.method)
        with open_dict(config):
            config.trainer.v1.trainer_mode = self.native  # verl takes any name but "sync" for an asynchronous one
            config.actor_rollout_ref.actor.policy_loss.update(
                {"_target_": loss.TARGET, "loss_mode": loss.MODE, "method": settings.method, "args": settings.args}
            )
        super().__init__(config)  # type: ignore[call-arg]

    # ---- Advantages ----

    def _compute_advantage(self, batch: Any, metrics: dict[str, Any]) -> Any:
        import transfer_queue as tq

        fetched = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=["extra_fields"])
        extra = fetched["extra_fields"]  # a list, or what turns into one, by the queue's storage
        infos = [row.get("reward_extra_info") or {} for row in (extra.tolist() if hasattr(extra, "tolist") else extra)]
        limit = self.config.actor_rollout_ref.rollout.response_length
        estimator = StepEstimator(self._signal, batch.keys, batch.tags, infos, limit)
        with _entered(estimator):
            batch = super()._compute_advantage(batch, metrics)  # type: ignore[misc]
        metrics.update(estimator.metrics)
        if not self._signal.method.count_dropped:
            _take_out(batch, estimator.kept)
        return batch

    # ---- Checkpoints ----

    def _save_checkpoint(self) -> None:
        # Before verl's: it marks the checkpoint as complete.
        folder = Path(self.config.trainer.default_local_dir, f"global_step_{self.global_steps}")
        checkpoint.save(folder / STATE, self._signal.state)
        super()._save_checkpoint()  # type: ignore[misc]

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()  # type: ignore[misc]
        if not self.global_steps:
            return
        trainer = self.config.trainer
        found = trainer.resume_from_path if trainer.resume_mode == "resume_path" else None
        folder = Path(found or Path(trainer.default_local_dir, f"global_step_{self.global_steps}"))
        if (folder / STATE).exists():
            self._signal.state = checkpoint.load(folder / STATE)
        elif any(entry is not None for entry in self._signal.state):
            warnings.warn(f"{folder} has no {STATE}: the method's own state starts anew", stacklevel=2)


class StepEstimator:
    """verl's advantage estimator for one step, which knows the named rewards of its rows.

    Args:
        signal: the method, with its state.
        keys, tags: of the batch's rows.
        infos: what ``compute_score`` returned for each row.
        limit: response tokens at which verl cuts off.

    Attributes:
        metrics: what verl is to log, once called.
        kept: ``[rows]`` bool, the rows whose rollout was not dropped, once called.
    """

    def __init__(
        self,
        signal: StepSignal,
        keys: Sequence[str],
        tags: Sequence[Mapping[str, Any]],
        infos: Sequence[Mapping[str, Any]],
        limit: int,
    ) -> None:
        self._signal = signal
        self._sessions = Sessions.read(keys, tags)
        last, names = self._sessions.last, signal.settings.rewards
        self._rewards = named_rewards([infos[row] for row in last], names)
        self._truncated = torch.tensor([tags[row]["response_len"] >= limit for row in last])
        self.metrics: dict[str, float] = {}
        self.kept = torch.ones(len(keys), dtype=torch.bool)

    def __call__(self, *, response_mask: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
        """Advantages and returns, each ``[rows, T]``: one number a rollout, at every token that the policy sampled."""
        sessions = self._sessions
        columns = {"lengths": sessions.sum(response_mask.sum(1)), "truncated": self._truncated}
        groups = Groups.of(sessions.uids)
        outcome: Outcome
        chosen = self._signal.settings
        rollouts = Rollouts(self._rewards, groups, chosen.rewards, columns, chosen.noise_floor)
        outcome, self.metrics = self._signal(rollouts)
        self.kept = sessions.spread(outcome.keep)
        advantages = sessions.spread(outcome.advantages)[:, None] * response_mask
        return advantages, advantages


@contextmanager
def _entered(estimator: StepEstimator) -> Iterator[None]:
    """For one step, verl finds this estimator under the name that the configuration has."""
    from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

    before = ADV_ESTIMATOR_REGISTRY[ESTIMATOR]
    ADV_ESTIMATOR_REGISTRY[ESTIMATOR] = estimator
    try:
        yield
    finally:
        ADV_ESTIMATOR_REGISTRY[ESTIMATOR] = before


def _take_out(batch: Any, kept: Tensor) -> None:
    """Take rows out of the loss and of its denominators, which verl counts in these two masks."""
    import transfer_queue as tq
    from tensordict import TensorDict

    names = ["response_mask", "loss_mask"]
    masks = tq.kv_batch_get(keys=batch.keys, partition_id=batch.partition_id, select_fields=names)

    def cut(mask: Tensor) -> Tensor:
        rows = [row * bool(keep) for row, keep in zip(mask.unbind(), kept, strict=True)]
        return torch.nested.as_nested_tensor(rows, layout=torch.jagged)

    fields = TensorDict({name: cut(masks[name]) for name in names}, batch_size=len(batch.keys))
    tq.kv_batch_put(keys=batch.keys, partition_id=batch.partition_id, fields=fields)

"""Concord in slime and miles: the advantages of a method, through ``--custom-reward-post-process-path``.

    --custom-reward-post-process-path concord.engines.slime.post_process_rewards --custom-config-path concord.yaml

    # concord.yaml
    concord:
      method: gd2po
      args: {tau: 0.8}
      rewards: [correctness, format, length]     # keys of the dict in sample.reward

Both engines hand a function ``f(args, samples)`` the samples of one step and take back two lists, what to log and what
to train on. With ``--advantage-estimator grpo`` the second one is the advantage of every token. The loss stays theirs:
clip and KL are the engine's own options. The function keeps nothing from step to step.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch

from concord.core.catalogue import info
from concord.core.errors import BatchError, ConfigError
from concord.core.groups import Groups
from concord.core.rollouts import Rollouts
from concord.engines import settings
from concord.engines.scored import named_rewards
from concord.engines.settings import Settings
from concord.engines.signal import StepSignal

ESTIMATORS = ("grpo", "gspo", "cispo")
"""``--advantage-estimator`` under which a sample's reward is, unchanged, the advantage of its tokens."""

_log = logging.getLogger(__name__)


def post_process_rewards(args: Any, samples: Sequence[Any], **_: Any) -> tuple[list[float], list[float]]:
    """The rewards to log and the advantages to train on, one each for each sample.

    The first is ``sample.reward[--reward-key]``, or else the weighted sum of the named rewards. Samples with one
    ``rollout_id`` are parts of one rollout: one score, one advantage. A dropped rollout has advantage 0; a method whose
    dropped rollouts leave the denominators marks its samples with ``remove_sample``.

    Args:
        args: the engine's, with ``concord`` from its ``--custom-config-path``.
        samples: of one step, with a dict in ``reward``.

    Raises:
        ConfigError: ``concord`` is missing or does not fit, a method with a state or one that is a loss, or an option
            of the engine's that would change the advantages.
        BatchError: a sample without a dict of rewards or a prompt, or parts of one rollout whose rewards differ.
        RewardError: as :func:`concord.engines.scored.named_rewards`.
    """
    chosen = _checked(args)
    signal = StepSignal(chosen)
    rollouts: dict[Any, list[int]] = {}
    for row, sample in enumerate(samples):
        rollouts.setdefault(_rollout(sample, row), []).append(row)
    firsts = [samples[rows[0]] for rows in rollouts.values()]
    for rows in rollouts.values():
        _check_parts([samples[row] for row in rows])
    parts = [[samples[row] for row in rows] for rows in rollouts.values()]
    columns = {
        "lengths": torch.tensor([sum(map(_length, part)) for part in parts]),
        "truncated": torch.tensor([any(sample.status.value == "truncated" for sample in part) for part in parts]),
    }
    rewards = named_rewards([sample.reward for sample in firsts], chosen.rewards)
    groups = Groups.of([sample.group_index for sample in firsts])
    outcome, metrics = signal(Rollouts(rewards, groups, chosen.rewards, columns, chosen.noise_floor))
    _log.info("%s", json.dumps(metrics))
    weights = torch.tensor([chosen.weights.get(name, 1.0) for name in chosen.rewards])
    totals = (rewards.nan_to_num() * weights).sum(1).tolist()
    raw, trained = [0.0] * len(samples), [0.0] * len(samples)
    for rows, total, advantage, keep in zip(
        rollouts.values(), totals, outcome.advantages.tolist(), outcome.keep.tolist(), strict=True
    ):
        for row in rows:
            sample = samples[row]
            raw[row] = sample.reward[args.reward_key] if getattr(args, "reward_key", None) else total
            trained[row] = advantage
            if not (keep or signal.method.count_dropped):
                sample.remove_sample = True
    return raw, trained


def _checked(args: Any) -> Settings:
    section = getattr(args, "concord", None)
    if section is None:
        raise ConfigError(
            "the engine's arguments have no 'concord'; put it into a YAML file for --custom-config-path: "
            "concord: {method: gd2po, rewards: [correctness, format]}"
        )
    if args.advantage_estimator not in ESTIMATORS:
        raise ConfigError(
            f"--advantage-estimator {args.advantage_estimator} changes what it is handed; write --advantage-estimator "
            "grpo, under which it is the advantage of every token"
        )
    if getattr(args, "normalize_advantages", False):
        raise ConfigError("--normalize-advantages standardises the advantages a second time; leave it out")
    return _read(json.dumps(section))


@cache
def _read(section: str) -> Settings:
    """Checked once a run: the engine calls for every step."""
    found = settings.read(json.loads(section), "concord")
    if any(entry is not None for entry in found.build().signal.init()):
        raise ConfigError(f"concord: method {found.method!r} has a state, which slime and miles cannot keep")
    if info(found.method).kind == "loss":
        raise ConfigError(
            f"concord: method {found.method!r} is a loss, and slime and miles keep their own; its advantages alone "
            "would be another method"
        )
    return found


def _rollout(sample: Any, row: int) -> Any:
    """What the parts of one rollout have in common, as both engines decide it."""
    for name in ("rollout_id", "index"):
        if (found := getattr(sample, name, None)) is not None:
            return name, found
    return "row", row


def _check_parts(part: Sequence[Any]) -> None:
    first = part[0]
    if not isinstance(first.reward, dict):
        raise BatchError(
            f"sample {first.index}: reward is {first.reward!r}; return a dict of named rewards from the reward function"
        )
    if first.group_index is None:
        raise BatchError(f"sample {first.index} has no group_index, so nothing says which prompt it answers")
    for other in part[1:]:
        if (other.reward, other.group_index) != (first.reward, first.group_index):
            raise BatchError(f"samples {first.index} and {other.index} are parts of one rollout with different rewards")


def _length(sample: Any) -> int:
    """Tokens that the loss counts."""
    if sample.remove_sample:
        return 0
    return sample.response_length if sample.loss_mask is None else sum(sample.loss_mask)

"""slime and miles: ``--save-debug-rollout-data`` (.pt) and miles' ``trajectory/{rollout_id}.jsonl``.

The .pt is ``{"rollout_id", "samples": [sample, ...]}``, a sample being a dict with group_index, index,
prompt, response, response_length, reward (a number, or a dict by name) and status. miles' JSON lines
hold the samples that recorded a conversation; a reward that is a dict is null there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from concord.core.status import FAILED
from concord.dumps.formats.base import FILE_STEP, Format, Record, Rollout, group_of, has, step_of
from concord.dumps.values import fact, split_conversation, text

_FAILED = ("aborted", "failed")


def _sample(record: Record) -> Iterator[Rollout]:
    rollout = _common(record)
    rollout.prompt, rollout.completion = text(record["prompt"]), text(record["response"])
    rollout.length = record.get("response_length")
    rollout.step = step_of(record.get(FILE_STEP))
    rollout.session = group_of(record.get("rollout_id"))  # shared by the samples into which one rollout was split
    if (removed := fact(record.get("remove_sample"))) == removed:  # NaN: it does not say
        rollout.keep = not removed
    yield rollout


def _trajectory(record: Record) -> Iterator[Rollout]:
    rollout = _common(record)
    messages, prompt = record["messages"], record["prompt"]
    rollout.prompt, rollout.completion = split_conversation(messages)
    if isinstance(prompt, list) and isinstance(messages, list) and messages[: len(prompt)] == prompt:
        rollout.completion = text(messages[len(prompt) :])
    rollout.prompt = text(prompt) or rollout.prompt
    yield rollout


def _common(record: Record) -> Rollout:
    reward, status = record["reward"], record.get("status")
    parts = reward if isinstance(reward, dict) else {"reward": reward}
    values: dict[str, Any] = {text(name): value for name, value in parts.items()}
    reason = {name: FAILED for name, value in values.items() if value is None} if status in _FAILED else None
    return Rollout(
        values=values,
        group=group_of(record["group_index"]),
        truncated=status == "truncated" if status is not None else None,
        statuses=reason,
    )


SLIME = Format(
    name="slime",
    kinds=("PyTorch",),
    fits=has("group_index", "prompt", "response", "reward", "status"),
    rollouts=_sample,
    totals=("reward", "score"),
    step_in="file",
    grouping="group_index",
    components=(
        "component rewards: let the function of --custom-rm-path return a dict by name, and name the one to train on "
        "with --reward-key; --save-debug-rollout-data keeps the dict"
    ),
    lacks=("advantages and weights: slime computes them after it has saved its samples",),
)

MILES = Format(
    name="miles",
    kinds=("JSON lines",),
    fits=has("sample_index", "group_index", "reward", "messages"),
    rollouts=_trajectory,
    totals=("reward",),
    step_in="file",
    grouping="group_index",
    components=(
        "component rewards: trajectory/*.jsonl holds null where the reward is a dict. Read the rollout_data/*.pt "
        "beside it (--dump-details, or --save-debug-rollout-data), which keeps the dict"
    ),
    lacks=("advantages, lengths and weights: miles does not write them",),
)

"""AReaL's dumped trajectories: ``rollout/{version}/{task_id}.jsonl``, one file a prompt.

task_id, sample_idx, seqlen, prompt_len, head_version, tail_version (the policy's, the latest of which
names the folder), reward (the total), prompt, completion.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Record, Rollout, group_of, has, step_of
from concord.dumps.values import fact, text


def _rollouts(record: Record) -> Iterator[Rollout]:
    yield Rollout(
        values=record,
        prompt=text(record["prompt"]),
        completion=text(record["completion"]),
        group=group_of(record["task_id"]),
        step=step_of(record["tail_version"]),
        length=fact(record["seqlen"]) - fact(record["prompt_len"]),
    )


FORMAT = Format(
    name="areal",
    kinds=("JSON lines",),
    fits=has("task_id", "sample_idx", "seqlen", "prompt_len", "tail_version", "reward", "prompt", "completion"),
    rollouts=_rollouts,
    totals=("reward",),
    others=frozenset({"task_id", "sample_idx", "seqlen", "prompt_len", "head_version", "tail_version"}),
    grouping="task_id",
    components="component rewards: an AReaL reward function returns one number, and no setting keeps its parts",
    lacks=("advantages and weights: AReaL does not write them",),
)

"""open-instruct's ``{run}_rollouts_{shard:06d}.jsonl`` with ``--save_traces``: token ids, no texts.

step, sample_idx, prompt_idx, prompt_tokens, response_tokens, reward (the total), advantage,
finish_reason, dataset, ground_truth. Two threads append, so that steps may interleave.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Record, Rollout, group_of, has, step_of


def _rollouts(record: Record) -> Iterator[Rollout]:
    reason = record.get("finish_reason")
    yield Rollout(
        values=record,
        group=group_of(record["prompt_idx"]),
        step=step_of(record["step"]),
        advantage=record.get("advantage"),
        length=len(record["response_tokens"]),
        truncated=reason == "length" if reason is not None else None,
    )


FORMAT = Format(
    name="open-instruct",
    kinds=("JSON lines",),
    fits=has("prompt_idx", "prompt_tokens", "response_tokens", "reward"),
    rollouts=_rollouts,
    totals=("reward",),
    others=frozenset({"step", "sample_idx", "prompt_idx", "advantage", "ground_truth"}),
    whole_files=False,
    grouping="prompt_idx",
    components="component rewards: open-instruct writes only their sum, and no setting keeps the components",
    lacks=("texts: open-instruct writes token ids only",),
)

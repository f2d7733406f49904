"""verl's JSON lines: ``{step}.jsonl`` in ``trainer.rollout_data_dir`` and ``trainer.validation_data_dir``.

The legacy trainer writes input, output, gts, score, step and every entry of the dict that
``compute_score`` returned; rows are in balanced order, groups apart. The V1 trainer adds
``uid = {prompt}_{session}_{index}``, but drops the entries from training dumps. One session may
have several outputs (agent loops); the last stands for the rollout, the others repeat its score.
"""

from __future__ import annotations

from collections.abc import Iterator

from concord.dumps.formats.base import Format, Malformed, Record, Rollout, has, step_of
from concord.dumps.values import text


def _rollouts(record: Record) -> Iterator[Rollout]:
    prompt = text(record["input"])
    group = session = None
    if "uid" in record:
        group = text(record["uid"])
        parts = group.rsplit("_", 2)
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            group, session = parts[0], parts[1]
    if isinstance(record["score"], list):
        raise Malformed("'score' is a list")
    yield Rollout(
        values=record,
        prompt=prompt,
        completion=text(record["output"]),
        group=group,
        session=session,
        step=step_of(record.get("step")),
    )


FORMAT = Format(
    name="verl",
    kinds=("JSON lines",),
    fits=has("input", "output", "score"),
    rollouts=_rollouts,
    totals=("score", "reward"),
    others=frozenset({"input", "output", "gts", "step", "uid", "request_id", "data_source", "num_turns"}),
    step_in="file",
    grouping="uid without its last two parts",
    components=(
        "component rewards: only the total is here. Return a dict from compute_score ({'score': total, 'name': value, "
        "...}): the legacy trainer then writes each entry to trainer.rollout_data_dir; the V1 trainer writes them only "
        "to trainer.validation_data_dir"
    ),
    lacks=("advantages, lengths and weights: verl does not write them",),
)
